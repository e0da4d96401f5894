//! On threads and children of the test's own: a sandbox is left by nobody.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::*;

/// Runs `action` on a thread inside of the full sandbox.
fn inside<T: Send + 'static>(action: impl FnOnce() -> T + Send + 'static) -> T {
    inside_with(Files::Written, action)
}

fn inside_with<T: Send + 'static>(files: Files, action: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = thread::spawn(move || {
        give_up_rights().unwrap();
        forbid_other_calls(Threads::This, files).unwrap();
        action()
    });
    thread.join().unwrap()
}

/// What a call with these arguments answers: `Ok` or the errno.
fn call(number: libc::c_long, arguments: [libc::c_long; 3]) -> Result<libc::c_long, Errno> {
    let [a, b, c] = arguments;
    // SAFETY: the tests only make calls that touch no memory of this process, or that are refused before they do.
    Errno::result(unsafe { libc::syscall(number, a, b, c, 0, 0, 0) })
}

/// How a child ends that makes this call inside of the sandbox.
fn end_of_child(number: libc::c_long) -> WaitStatus {
    let program = program::build(Files::Exchanged).unwrap();
    // SAFETY: the child makes only async-signal-safe calls: it allocates nothing, and takes no lock that another thread may
    // have held at the fork.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        ForkResult::Child => {
            let ready = set_no_new_privs().is_ok() && crate::sys::filter_calls(&program, true).is_ok();
            let code = match call(number, [0; 3]) {
                _ if !ready => 2,
                Ok(_) => 1,
                Err(_) => 0,
            };
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(code) }
        }
    }
}

#[test]
fn what_is_not_in_use_is_refused() {
    let answers = inside(|| {
        [
            call(libc::SYS_setuid, [0; 3]),
            call(libc::SYS_mkdirat, [0; 3]),
            call(libc::SYS_kill, [0; 3]),
            call(libc::SYS_socket, [libc::AF_PACKET.into(), libc::SOCK_RAW.into(), 0]),
            call(libc::SYS_ioctl, [0, 0x5412, 0]), // TIOCSTI
            call(libc::SYS_tgkill, [1, 1, 0]),
            call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE.into(), 1, 0]),
            call(libc::SYS_prlimit64, [1, 0, 0]),
            call(libc::SYS_mmap, [0, 4096, (libc::PROT_WRITE | libc::PROT_EXEC).into()]),
            call(libc::SYS_mprotect, [0, 4096, libc::PROT_EXEC.into()]),
            // A process of its own.
            call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0]),
        ]
    });
    assert_eq!(answers, [Err(Errno::EPERM); 11]);
}

#[test]
fn young_calls_are_not_there() {
    let answers = inside(|| {
        [
            call(libc::SYS_clone3, [0; 3]),
            call(libc::SYS_io_uring_setup, [1, 0, 0]),
            call(libc::SYS_pidfd_open, [1, 0, 0]),
            call(100_000, [0; 3]),
        ]
    });
    assert_eq!(answers, [Err(Errno::ENOSYS); 4]);
}

#[test]
fn whoever_executes_a_program_or_looks_into_others_is_ended() {
    for (harmless, code) in [(libc::SYS_setuid, 0), (libc::SYS_getpid, 1)] {
        let end = end_of_child(harmless);
        assert!(
            matches!(end, WaitStatus::Exited(_, exited) if exited == code),
            "{harmless}: {end:?}"
        );
    }
    for fatal in [libc::SYS_execve, libc::SYS_ptrace, libc::SYS_bpf, libc::SYS_mount] {
        let end = end_of_child(fatal);
        assert!(
            matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _)),
            "{fatal}: {end:?}"
        );
    }
}

#[test]
fn what_a_program_does_all_day_works() {
    inside(|| {
        let mut text = String::new();
        File::open("/proc/self/status")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let caller = thread::spawn(move || std::net::TcpStream::connect(address).unwrap());
        listener.accept().unwrap();
        caller.join().unwrap();
        let _ = std::net::ToSocketAddrs::to_socket_addrs("localhost:1").unwrap();
        crate::route::own_networks().unwrap();
        // What a thread is started with, the next one inherits.
        let refused = thread::spawn(|| call(libc::SYS_setuid, [0; 3])).join().unwrap();
        assert_eq!(refused, Err(Errno::EPERM));
    });
}

#[test]
fn files_are_exchanged_only_where_that_was_asked_for() {
    let exchange = |files| {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["a", "b"].map(|name| folder.path().join(name));
        std::fs::write(&from, "").unwrap();
        let end = inside_with(files, move || {
            let (renamed, made) = (std::fs::rename(&from, &to), std::fs::write(&from, ""));
            let end = |done: std::io::Result<()>| done.map_err(|error| error.raw_os_error().map(Errno::from_raw));
            [end(renamed), end(made), end(std::fs::remove_file(&from))]
        });
        drop(folder);
        end
    };
    assert_eq!(exchange(Files::Exchanged), [Ok(()), Ok(()), Ok(())]);
    let refused = Err(Some(Errno::EPERM));
    assert_eq!(exchange(Files::Written), [refused, Ok(()), refused]);
}

#[test]
fn rights_are_gone_for_good() {
    let status = inside(|| std::fs::read_to_string("/proc/thread-self/status").unwrap());
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert!(
        status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"),
        "{status}"
    );
}

#[test]
fn a_thread_that_was_started_too_early_is_named() {
    let child = thread::spawn(none_left);
    // This test's own threads have theirs: it runs as root.
    let named = child.join().unwrap().unwrap_err();
    assert!(named.contains("keeps its capabilities"), "{named}");
}

#[test]
fn no_call_is_listed_twice() {
    let listed = calls::ALLOWED
        .iter()
        .chain(calls::OLDER)
        .map(|(call, _)| call)
        .chain(calls::FATAL);
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = listed.filter(|call| !seen.insert(**call)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn words_are_read_as_they_are_written() {
    for word in Sandbox::WORDS {
        assert_eq!(word.parse::<Sandbox>().unwrap().to_string(), word);
    }
    assert!("on".parse::<Sandbox>().unwrap_err().contains("full"));
}
