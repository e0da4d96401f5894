//! Network namespaces joined by veth pairs: nodes with addresses, routes and packet filters of their own.

use crate::error::{Context, LabError, Result};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// One network namespace, its loopback up. Deleted when dropped, with every interface in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace. `role` only makes its name readable; the process id and a counter make it unique.
    ///
    /// # Errors
    /// Where the privilege or the program `ip` is missing, saying so.
    pub fn new(role: &str) -> Result<Namespace> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::new(
                "this test makes network namespaces and needs root: run it by scripts/test as root",
            ));
        }
        let name = format!(
            "dtlab{}-{}-{role}",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        run(Command::new("ip").args(["netns", "add", &name])).during("is the package iproute2 installed?")?;
        let namespace = Namespace { name };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The name that `ip netns` knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside. `ip` replaces itself by the program, so the child's pid is the program's.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program inside to its end and returns what it printed.
    ///
    /// # Errors
    /// Where it can't be started or fails, with its standard error.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run(self.command(program).args(arguments))
    }

    /// `ip ARGUMENTS` inside; the arguments are separated by blanks.
    ///
    /// # Errors
    /// As [`Namespace::run`].
    pub fn ip(&self, arguments: &str) -> Result<String> {
        run(Command::new("ip")
            .args(["-n", &self.name])
            .args(arguments.split_whitespace()))
    }

    /// Loads an nftables rule set.
    ///
    /// # Errors
    /// Where `nft` refuses it, with its message.
    pub fn nft(&self, rules: &str) -> Result {
        let mut child = self
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .during("start nft")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(rules.as_bytes()).during("write to nft")?;
        }
        text(child.wait_with_output()?).during(format!("nft in {}: {rules}", self.name))?;
        Ok(())
    }

    /// One rule on what arrives here, e.g. `icmp type echo-request numgen inc mod 10 0 counter drop`: exactly every tenth.
    /// Earlier rules stay and come first.
    ///
    /// # Errors
    /// As [`Namespace::nft`].
    pub fn on_input(&self, rule: &str) -> Result {
        self.on_hook("input", rule)
    }

    /// One rule on what leaves from here.
    ///
    /// # Errors
    /// As [`Namespace::nft`].
    pub fn on_output(&self, rule: &str) -> Result {
        self.on_hook("output", rule)
    }

    fn on_hook(&self, hook: &str, rule: &str) -> Result {
        self.nft(&format!(
            "add table inet lab\n\
             add chain inet lab {hook} {{ type filter hook {hook} priority 0; policy accept; }}\n\
             add rule inet lab {hook} {rule}\n"
        ))
    }

    /// The packet counts of all rules with a `counter`, in the order of the rules.
    ///
    /// # Errors
    /// Where `nft` fails.
    pub fn counters(&self) -> Result<Vec<u64>> {
        let listing = self.run("nft", &["list", "ruleset"])?;
        Ok(listing
            .split("counter packets ")
            .skip(1)
            .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
            .collect())
    }

    /// Sets a kernel parameter of this namespace, e.g. `net.ipv4.ping_group_range`.
    ///
    /// # Errors
    /// Where the kernel has none of that name or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        self.enter(move || std::fs::write(&path, value).during(format!("write '{value}' to {path}")))?
    }

    /// What names resolve to for programs started inside from now on: the text of `/etc/hosts`.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn hosts(&self, text: &str) -> Result {
        // `ip netns exec` puts what is here over the files of /etc.
        let folder = self.files();
        std::fs::create_dir_all(&folder).during(format!("make {}", folder.display()))?;
        std::fs::write(folder.join("hosts"), text).during(format!("write {}/hosts", folder.display()))
    }

    fn files(&self) -> std::path::PathBuf {
        std::path::Path::new("/etc/netns").join(&self.name)
    }

    /// Runs `action` on a thread inside this namespace. Sockets opened there stay in it for life; child processes and
    /// threads started there inherit it.
    ///
    /// # Errors
    /// Where the namespace can't be entered or the thread panics.
    pub fn enter<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T> {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).during("open the namespace")?;
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || -> Result<T> {
                nix::sched::setns(file.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET).during("setns")?;
                Ok(action())
            });
            inside
                .join()
                .map_err(|_| LabError::new(format!("a thread inside {} panicked", self.name)))?
        })
    }

    /// As [`Namespace::enter`], on a thread that goes on by itself.
    ///
    /// # Errors
    /// Where the namespace can't be opened; where it can't be entered, the thread says so and ends.
    pub fn spawn(&self, action: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>> {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).during("open the namespace")?;
        Ok(std::thread::spawn(move || {
            match nix::sched::setns(file.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET) {
                Ok(()) => action(),
                Err(error) => eprintln!("a thread could not enter its namespace: {error}"),
            }
        }))
    }

    /// Joins this namespace to `other` by a veth pair: `interface` is made here, `other_interface` there, both up,
    /// without addresses.
    ///
    /// # Errors
    /// Where `ip` fails.
    pub fn join(&self, interface: &str, other: &Namespace, other_interface: &str) -> Result {
        self.ip(&format!(
            "link add {interface} type veth peer name {other_interface} netns {}",
            other.name
        ))?;
        self.ip(&format!("link set {interface} up"))?;
        other.ip(&format!("link set {other_interface} up"))?;
        Ok(())
    }

    /// Gives an interface an address with its prefix length. An IPv6 address is usable at once: nobody else is here
    /// to have it already.
    ///
    /// # Errors
    /// Where `ip` fails.
    pub fn address(&self, interface: &str, address: &str) -> Result {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("address add {address} dev {interface} {nodad}"))?;
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next run uses other names.
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .stderr(Stdio::null())
            .status();
        let _ = std::fs::remove_dir_all(self.files());
    }
}

/// Two nodes joined directly: `a` has 10.9.0.1 and fd09::1, `b` has 10.9.0.2 and fd09::2, both on `eth0`.
#[derive(Debug)]
pub struct Pair {
    /// The node that probes.
    pub a: Namespace,
    /// The node that is probed.
    pub b: Namespace,
}

impl Pair {
    /// Makes both nodes and the link between them.
    ///
    /// # Errors
    /// As [`Namespace::new`].
    pub fn new() -> Result<Pair> {
        let (a, b) = (Namespace::new("a")?, Namespace::new("b")?);
        a.join("eth0", &b, "eth0")?;
        for (node, n) in [(&a, 1), (&b, 2)] {
            node.address("eth0", &format!("10.9.0.{n}/24"))?;
            node.address("eth0", &format!("fd09::{n}/64"))?;
        }
        Ok(Pair { a, b })
    }
}

/// Nodes on one bridge: node `i` (from 0) has 10.8.0.`i+1`/16 on `eth0`.
#[derive(Debug)]
pub struct Lan {
    /// The nodes, in the order of their addresses.
    pub nodes: Vec<Namespace>,
    _switch: Namespace,
}

impl Lan {
    /// Makes `count` nodes (at most 250) and the bridge between them.
    ///
    /// # Errors
    /// As [`Namespace::new`].
    pub fn new(count: usize) -> Result<Lan> {
        let switch = Namespace::new("switch")?;
        switch.ip("link add br0 type bridge")?;
        switch.ip("link set br0 up")?;
        let mut nodes = Vec::new();
        for i in 0..count {
            let node = Namespace::new(&format!("n{i}"))?;
            let port = format!("p{i}");
            node.join("eth0", &switch, &port)?;
            switch.ip(&format!("link set {port} master br0"))?;
            node.address("eth0", &format!("{}/16", Lan::address(i)))?;
            nodes.push(node);
        }
        Ok(Lan { nodes, _switch: switch })
    }

    /// The address of node `i`.
    #[must_use]
    pub fn address(i: usize) -> String {
        format!("10.8.0.{}", i + 1)
    }
}

fn run(command: &mut Command) -> Result<String> {
    let what = format!("{command:?}");
    text(command.output().during(&what)?).during(what)
}

fn text(output: Output) -> Result<String> {
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(LabError::new(format!("{}: {}", output.status, message.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
