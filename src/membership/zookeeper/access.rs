//! Who may do what with the nodes that an agent creates, and whether that is so of those that were there before.
//!
//! In ZooKeeper a child is created and deleted by rights to its parent; the rights to the child itself are for its data. So
//! what keeps strangers from removing an entry stands at the members' parent, and what keeps them from changing it at the
//! entry. The end of a session removes its entries whatever the rights.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission};

use super::config::Paths;

/// Who may do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Anyone everything, as with the Go original.
    #[default]
    Open,
    /// Anyone may read, and create entries of his own beside ours, as agents of the original do; change and remove only who
    /// has the agents' credential.
    Read,
    /// Nobody anything without it.
    Private,
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Access, String> {
        match text {
            "open" => Ok(Access::Open),
            "read" => Ok(Access::Read),
            "private" => Ok(Access::Private),
            _ => Err("unknown access".to_owned()),
        }
    }
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The members' parent and what is above it. An agent of the original creates each of them that isn't there, and takes it
    /// for there only if it would have been allowed to create it: the right to create is asked for first.
    Parent,
    /// A member's entry, the kill switch and its parent.
    Own,
}

impl Access {
    /// What anyone may.
    fn anyone(self, role: Role) -> Permission {
        match (self, role) {
            (Access::Open, _) => Permission::ALL,
            (Access::Read, Role::Parent) => Permission::READ | Permission::CREATE,
            (Access::Read, Role::Own) => Permission::READ,
            (Access::Private, _) => Permission::NONE,
        }
    }

    /// The access list of a node that this session creates.
    pub(super) fn list(self, role: Role) -> Vec<Acl> {
        let anyone = Acl::new(self.anyone(role), AuthId::anyone());
        match self {
            Access::Open => vec![anyone],
            Access::Read => vec![anyone, Acl::new(Permission::ALL, AuthId::authed())],
            Access::Private => vec![Acl::new(Permission::ALL, AuthId::authed())],
        }
    }
}

/// What is wrong with the rights to a node that somebody else created.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Finding {
    /// Anyone may do more than he is to; the permissions' names.
    Exposed(String),
    /// This session has not all rights; whose node it is.
    Foreign(String),
}

/// Looks through the nodes that all agents share, creates the kill switch's where it is missing, and returns what is wrong
/// with whom. `own` is an entry that this session created: its list names whom the servers take this session for. With
/// `repair` they get the lists that they would have been created with, besides what others than anyone may already.
pub(super) async fn survey(
    client: &Client,
    paths: &Paths,
    own: &str,
    access: Access,
    repair: bool,
) -> Result<BTreeMap<String, Finding>, Error> {
    let ours: BTreeSet<(String, String)> = ids(&client.get_acl(own).await?.0).collect();
    switch(client, paths, access).await?;
    let mut findings = BTreeMap::new();
    for (path, role) in paths.shared() {
        let list = match client.get_acl(&path).await {
            Ok((list, _)) => list,
            Err(Error::NoNode) => continue,
            Err(Error::NoAuth) => {
                findings.insert(path, Finding::Foreign("somebody else".to_owned()));
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(finding) = judge(&list, &ours, access.anyone(role)) else {
            continue;
        };
        if repair {
            match client.set_acl(&path, &repaired(&list, access.list(role)), None).await {
                Ok(_) => {
                    tracing::warn!(path, "rights to this ZooKeeper node were changed: zookeeper.acl_repair");
                    continue;
                }
                Err(Error::NoAuth) => {}
                Err(error) => return Err(error),
            }
        }
        findings.insert(path, finding);
    }
    Ok(findings)
}

/// The kill switch's node has to be there before a stranger creates it. Empty, it says nothing: all agents' last known state
/// stays.
async fn switch(client: &Client, paths: &Paths, access: Access) -> Result<(), Error> {
    let list = access.list(Role::Own);
    let options = CreateMode::Persistent.with_acls(Acls::new(&list));
    for path in paths.switch() {
        match client.create(path, b"", &options).await {
            // What it lacks is found out by looking at what is there.
            Ok(_) | Err(Error::NodeExists | Error::NoAuth | Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_anyone(acl: &Acl) -> bool {
    (acl.scheme(), acl.id()) == ("world", "anyone")
}

/// All in the list but anyone.
fn ids(list: &[Acl]) -> impl Iterator<Item = (String, String)> + '_ {
    let named = list.iter().filter(|acl| !is_anyone(acl));
    named.map(|acl| (acl.scheme().to_owned(), acl.id().to_owned()))
}

fn judge(list: &[Acl], ours: &BTreeSet<(String, String)>, anyone: Permission) -> Option<Finding> {
    let of = |mut wanted: Box<dyn FnMut(&Acl) -> bool + '_>| {
        let all = list.iter().filter(move |acl| wanted(acl));
        all.fold(Permission::NONE, |sum, acl| sum | acl.permission())
    };
    let strangers = of(Box::new(is_anyone));
    if !anyone.has(strangers) {
        return Some(Finding::Exposed(strangers.to_string()));
    }
    let mine = of(Box::new(|acl| {
        ours.contains(&(acl.scheme().to_owned(), acl.id().to_owned()))
    }));
    if (mine | strangers) == Permission::ALL {
        return None;
    }
    // Of an id no more than its user: what follows is made of the password.
    let user = |(scheme, id): (String, String)| format!("{scheme}:{}", id.split(':').next().unwrap_or_default());
    let owners: BTreeSet<String> = ids(list).map(user).collect();
    Some(Finding::Foreign(owners.into_iter().collect::<Vec<_>>().join(", ")))
}

/// `wanted`, and what others than anyone may already.
fn repaired(list: &[Acl], mut wanted: Vec<Acl>) -> Vec<Acl> {
    wanted.extend(list.iter().filter(|acl| !is_anyone(acl)).cloned());
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(scheme: &str, id: &str, permission: Permission) -> Acl {
        Acl::new(permission, AuthId::new(scheme, id))
    }

    #[test]
    fn what_anyone_may_beyond_the_plan_and_what_is_not_ours_is_found() {
        let anyone = |permission| id("world", "anyone", permission);
        let ours: BTreeSet<_> = [("digest".to_owned(), "dt:hash=".to_owned())].into();
        let mine = || id("digest", "dt:hash=", Permission::ALL);
        let read = Access::Read.anyone(Role::Own);
        assert_eq!(judge(&[anyone(read), mine()], &ours, read), None);
        assert_eq!(judge(&[mine()], &ours, read), None, "less than planned is no exposure");
        assert_eq!(
            judge(&[anyone(Permission::READ | Permission::DELETE), mine()], &ours, read),
            Some(Finding::Exposed("READ|DELETE".to_owned()))
        );
        assert_eq!(
            judge(&[anyone(read), id("digest", "dt:other=", Permission::ALL)], &ours, read),
            Some(Finding::Foreign("digest:dt".to_owned())),
            "the same user with another password, which isn't shown"
        );
        assert_eq!(judge(&[anyone(Permission::ALL)], &ours, Permission::ALL), None);
        assert!(judge(&[mine()], &ours, Permission::NONE).is_none());
        assert!(judge(&[anyone(Permission::READ)], &ours, Permission::NONE).is_some());
    }

    #[test]
    fn a_repair_keeps_what_others_may_but_anyone() {
        let before = [
            id("world", "anyone", Permission::ALL),
            id("ip", "10.0.0.1", Permission::READ),
        ];
        let after = repaired(&before, Access::Read.list(Role::Own));
        assert_eq!(after.len(), 3);
        assert!(after.contains(&before[1]) && !after.contains(&before[0]), "{after:?}");
    }
}
