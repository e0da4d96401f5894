//! A stand-in for the Go original: what it does on ZooKeeper, gRPC and Kafka, and what kills it. Written from its
//! behaviour on the wire, not by our own crates, so that a mistake of theirs can't hide in it.

mod member;
mod wire;

use crate::error::{Context, LabError, Result};
use crate::namespaces::Namespace;
use member::Member;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zookeeper_client::{Acls, Client, CreateMode};

/// What the original takes from its environment.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address it registers and listens on.
    pub address: SocketAddr,
    /// `SERVERS_ZK`.
    pub zookeeper: String,
    /// `KAFKA_BOOTSTRAP_SERVERS`.
    pub kafka: String,
    /// `/ROOT_PATH_ZK/HEART_BEAT_NODE_PATH`.
    pub path: String,
    /// `KAFKA_TOPIC`.
    pub topic: String,
    /// 10 s in the original; what it registers follows it.
    pub poll_interval: Duration,
}

/// What became of it so far.
#[derive(Debug, Default, Clone)]
pub struct State {
    /// The path of its own member node, once registered.
    pub registered: Option<String>,
    /// Why the original would be dead by now.
    pub death: Option<String>,
    /// The callees of the pings that succeeded.
    pub answered: Vec<String>,
    /// Callee and reason of the pings that failed or timed out.
    pub failed: Vec<String>,
    /// How many pings it answered itself.
    pub pings_received: u64,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running stand-in. Dropping it is a crash: its member node goes with the connection.
#[derive(Debug)]
pub struct Original {
    state: Shared,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Original {
    /// Starts it inside `namespace`.
    ///
    /// # Errors
    /// Where the namespace can't be entered. What goes wrong later is its [`State::death`].
    pub fn start(namespace: &Namespace, options: Options) -> Result<Original> {
        let state = Shared::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shared = Arc::clone(&state);
        let thread = namespace.spawn(move || {
            let died = Arc::clone(&shared);
            if let Err(error) = live(options, shared, stopped) {
                lock(&died).death.get_or_insert(error.to_string());
            }
        })?;
        Ok(Original {
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What became of it so far.
    #[must_use]
    pub fn state(&self) -> State {
        lock(&self.state).clone()
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One ping of `callee` ("host:port") as the original makes it, from inside `namespace`.
///
/// # Errors
/// Where the namespace can't be entered. That the ping fails is the inner error.
pub fn ping_once(namespace: &Namespace, callee: &str) -> Result<Result> {
    namespace.enter(|| -> Result<Result> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(wire::ping(callee)).during(format!("ping {callee}")))
    })?
}

fn live(options: Options, state: Shared, stopped: tokio::sync::oneshot::Receiver<()>) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = run(options, state) => ended,
            _ = stopped => Ok(()),
        }
    })
}

async fn run(options: Options, state: Shared) -> Result {
    let listener = tokio::net::TcpListener::bind(options.address)
        .await
        .during("the original's listener")?;
    tokio::spawn(wire::answer(listener, Arc::clone(&state)));
    let producer: FutureProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &options.kafka)
        .set("group.id", "distributed_trace_grp")
        .create()
        .during("the original's producer")?;
    // zk.Connect waits for servers by itself.
    let client = loop {
        match Client::connector()
            .with_session_timeout(Duration::from_secs(10))
            .connect(&options.zookeeper)
            .await
        {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let own = register(&client, &options).await?;
    lock(&state).registered = Some(own);

    // It makes a new ticker for each turn of its loop: the first poll comes one interval after the start.
    loop {
        tokio::time::sleep(options.poll_interval).await;
        let Ok(children) = client.list_children(&options.path).await else {
            continue;
        };
        for child in children {
            let Ok((data, _)) = client.get_data(&format!("{}/{child}", options.path)).await else {
                continue;
            };
            // The original drops the error and follows a nil pointer.
            let member = Member::parse(&data).map_err(|error| {
                LabError::new(format!("read {child}: {error}: {:?}", String::from_utf8_lossy(&data)))
            })?;
            tokio::spawn(dispatch(member, options.clone(), producer.clone(), Arc::clone(&state)));
        }
    }
}

/// Creates the permanent parents and its ephemeral, sequential, protected node.
async fn register(client: &Client, options: &Options) -> Result<String> {
    let permanent = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for (slash, _) in options
        .path
        .match_indices('/')
        .skip(1)
        .chain([(options.path.len(), "")])
    {
        match client.create(&options.path[..slash], &[], &permanent).await {
            Ok(_) | Err(zookeeper_client::Error::NodeExists) => {}
            Err(error) => return Err(LabError::from(error).during(format!("create {}", &options.path[..slash]))),
        }
    }
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let guid = format!("{:032x}", nanoseconds ^ (u128::from(std::process::id()) << 96));
    let path = format!("{}/_c_{guid}-{}", options.path, options.address);
    let data = Member::json(options.address, options.poll_interval);
    let ephemeral = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    let (_, sequence) = client
        .create(&path, data.as_bytes(), &ephemeral)
        .await
        .during(format!("create {path}"))?;
    Ok(format!("{path}{sequence}"))
}

/// One ping of one member, and its report.
async fn dispatch(member: Member, options: Options, producer: FutureProducer, state: Shared) {
    let callee = format!("{}:{}", member.address, member.port);
    let start = SystemTime::now();
    let ended = tokio::time::timeout(Duration::from_millis(5000), wire::ping(&callee)).await;
    let end = SystemTime::now();
    let mut report = serde_json::json!({ "fromHostAddr": options.address.to_string(), "toHostAddr": callee });
    match ended {
        // Not reported by the original.
        Err(_) => return lock(&state).failed.push(format!("{callee}: timed out")),
        Ok(Err(status)) => lock(&state).failed.push(format!("{callee}: {status}")),
        Ok(Ok(())) => {
            lock(&state).answered.push(callee);
            // Its own slip kept: only the part below the second is subtracted, so one in a few wraps around.
            let below = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
            report["responseTiming"] = below(end).wrapping_sub(below(start)).into();
            report["isTransmissionSuccess"] = true.into();
        }
    }
    let payload = report.to_string();
    let record = FutureRecord::<(), String>::to(&options.topic).payload(&payload);
    if let Err((error, _)) = producer.send(record, Duration::from_secs(30)).await {
        lock(&state).failed.push(format!("produce: {error}"));
    }
}
