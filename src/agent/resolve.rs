//! Names of members to addresses, off the mesh task, a bounded number at a time.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::config::is_one_host;

/// How many names are looked up side by side.
const LOOKUPS: usize = 32;

/// The answer for one name.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// As registered.
    pub(crate) host: String,
    /// Its addresses, the one to be preferred first, or why there is none.
    pub(crate) answer: Result<Vec<IpAddr>, String>,
}

/// Looks names up; answers come on the channel, in any order.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// Asked and not answered.
    pending: HashSet<String>,
    answers: mpsc::UnboundedSender<Resolved>,
    permits: Arc<Semaphore>,
}

impl Resolver {
    /// A resolver and the channel of its answers. The channel holds at most one answer per question asked.
    pub(crate) fn new() -> (Resolver, mpsc::UnboundedReceiver<Resolved>) {
        let (answers, questions) = mpsc::unbounded_channel();
        (
            Resolver {
                pending: HashSet::new(),
                answers,
                permits: Arc::new(Semaphore::new(LOOKUPS)),
            },
            questions,
        )
    }

    /// Asks for `host`, unless it is being asked for.
    pub(crate) fn ask(&mut self, host: String) {
        if !self.pending.insert(host.clone()) {
            return;
        }
        let (answers, permits) = (self.answers.clone(), Arc::clone(&self.permits));
        tokio::spawn(async move {
            // The semaphore is never closed; should it be, the look-up goes ahead.
            let _permit = permits.acquire().await;
            let answer = match tokio::net::lookup_host((host.as_str(), 0)).await {
                Ok(found) => match ordered(found.map(|a| a.ip())) {
                    none if none.is_empty() => Err(format!("{host}: has no address of a single host")),
                    some => Ok(some),
                },
                Err(error) => Err(format!("{host}: can't be resolved: {error}")),
            };
            let _ = answers.send(Resolved { host, answer });
        });
    }

    /// The question is answered and may be asked again.
    pub(crate) fn answered(&mut self, host: &str) {
        self.pending.remove(host);
    }
}

/// The addresses that can be probed: the IPv4 ones, then the others, each in order. Nodes with both register a name mostly
/// for the former, and a choice that doesn't change with the order of the answers keeps a pair's series whole.
fn ordered(found: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = found
        .map(|ip| ip.to_canonical())
        .filter(|ip| is_one_host(*ip))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_does_not_depend_on_the_order_of_the_answers() {
        let ips: [IpAddr; 3] = [
            [10, 0, 0, 2].into(),
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
            [10, 0, 0, 1].into(),
        ];
        assert_eq!(ordered(ips.into_iter()), ordered(ips.into_iter().rev()));
        assert_eq!(ordered(ips.into_iter())[0], IpAddr::from([10, 0, 0, 1]));
        assert_eq!(ordered([IpAddr::from([0, 0, 0, 0])].into_iter()), [] as [IpAddr; 0]);
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer_and_a_wrong_name_says_so() {
        let (mut resolver, mut answers) = Resolver::new();
        resolver.ask("127.0.0.1".into());
        resolver.ask("not a name".into());
        let mut good = 0;
        for _ in 0..2 {
            let answer = answers.recv().await.expect("an answer");
            match answer.answer {
                Ok(ip) => {
                    good += 1;
                    assert!(ip.iter().all(IpAddr::is_loopback));
                }
                Err(why) => assert!(why.contains("not a name"), "{why}"),
            }
        }
        assert_eq!(good, 1);
    }
}
