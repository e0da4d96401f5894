//! Looking at ZooKeeper's tree, and putting things into it, as any other client may.

use crate::error::{Context, Result};
use tokio::runtime::Runtime;
use zookeeper_client::{Acls, Client, Connector, CreateMode};

/// A session of its own; what it creates goes with it.
pub struct Znodes {
    // Declared first: a client must end before the runtime that it lives on.
    client: Client,
    runtime: Runtime,
}

impl std::fmt::Debug for Znodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Znodes").finish_non_exhaustive()
    }
}

impl Znodes {
    /// Opens a session.
    ///
    /// # Errors
    /// Where no server answers.
    pub fn connect(servers: &str) -> Result<Znodes> {
        Znodes::open(servers, Client::connector())
    }

    /// Opens a session that shows a `digest` credential, `user:password`.
    ///
    /// # Errors
    /// Where no server answers.
    pub fn connect_as(servers: &str, credential: &str) -> Result<Znodes> {
        Znodes::open(servers, Client::connector().with_auth("digest", credential.as_bytes()))
    }

    fn open(servers: &str, connector: Connector) -> Result<Znodes> {
        // A thread of its own keeps the session alive between calls.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let client = runtime
            .block_on(connector.connect(servers))
            .during(format!("connect to ZooKeeper at {servers}"))?;
        Ok(Znodes { client, runtime })
    }

    /// The names of the children of `path`; none where it does not exist.
    ///
    /// # Errors
    /// Where the server can't be asked.
    pub fn children(&self, path: &str) -> Result<Vec<String>> {
        match self.runtime.block_on(self.client.list_children(path)) {
            Ok(children) => Ok(children),
            Err(zookeeper_client::Error::NoNode) => Ok(Vec::new()),
            Err(error) => Err(error).during(format!("list {path}")),
        }
    }

    /// The data of all children of `path` that are still there when they are read.
    ///
    /// # Errors
    /// Where the server can't be asked.
    pub fn children_data(&self, path: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut all = Vec::new();
        for child in self.children(path)? {
            match self.runtime.block_on(self.client.get_data(&format!("{path}/{child}"))) {
                Ok((data, _)) => all.push((child, data)),
                Err(zookeeper_client::Error::NoNode) => {}
                Err(error) => return Err(error).during(format!("read {path}/{child}")),
            }
        }
        Ok(all)
    }

    /// Creates a node that goes with this session.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn create(&self, path: &str, data: &[u8]) -> Result {
        let mode = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        self.runtime
            .block_on(self.client.create(path, data, &mode))
            .during(format!("create {path}"))?;
        Ok(())
    }

    /// Creates a node that stays, and its parents.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn create_lasting(&self, path: &str, data: &[u8]) -> Result {
        let mode = CreateMode::Persistent.with_acls(Acls::anyone_all());
        let (parent, _) = path.rsplit_once('/').unwrap_or_default();
        self.runtime
            .block_on(self.client.mkdir(parent, &mode))
            .during(format!("create {parent}"))?;
        self.runtime
            .block_on(self.client.create(path, data, &mode))
            .during(format!("create {path}"))?;
        Ok(())
    }

    /// Changes the data of a node.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn set(&self, path: &str, data: &[u8]) -> Result {
        self.runtime
            .block_on(self.client.set_data(path, data, None))
            .during(format!("set {path}"))?;
        Ok(())
    }

    /// Deletes a node.
    ///
    /// # Errors
    /// Where the server refuses.
    pub fn delete(&self, path: &str) -> Result {
        self.runtime
            .block_on(self.client.delete(path, None))
            .during(format!("delete {path}"))
    }
}
