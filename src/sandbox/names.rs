//! The process that looks up names, and the run's end of it.
//!
//! The C library's resolvers load plug-ins, read files and open sockets; DNS opens sockets too. So neither is done
//! where frames and files are parsed, but in a child process that gives up all rights and confines itself to
//! looking up. It is started before there are threads or sockets, inherits nothing, and asks nothing of the run. It ends
//! with the run, whichever way that ends, and the run does not wait for it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, recv, send, shutdown, socketpair,
};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, geteuid, getpid, getppid, setsid};

use super::message::{Answer, LONGEST, Question};
use super::{Profile, SandboxError, enter};
use crate::enrich::dns::{self, Dns};
use crate::enrich::lookups::Lookups;
use crate::enrich::names::{self, Names};
use crate::enrich::origins::{self, Origin, Origins};
use crate::enrich::pool::Pool;
use crate::link::live::process;
use crate::privilege;
use crate::untrusted::Untrusted;

/// What resolvers and their plug-ins read: programs' files, and of those of the system what concerns names, for
/// whoever has taken over this process can send elsewhere what it reads. Links are followed when it is confined.
const SYSTEM: [&str; 25] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/mdns.allow",
    "/etc/networks",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/var/db/nscd",
    "/var/lib/sss/mc",
    "/proc/sys",
    "/dev/null",
    "/dev/urandom",
];

/// Those files, and whatever else is in /etc unless root could read secrets there: a file that is replaced while names
/// are looked up is another one to Landlock.
pub(super) fn files() -> impl Iterator<Item = &'static Path> {
    let others = (!geteuid().is_root()).then_some("/etc");
    SYSTEM.into_iter().chain(others).map(Path::new)
}

/// What looks names up, from where they are asked for.
#[derive(Debug)]
pub struct Resolvers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: OwnedFd,
    /// The child, until it has been waited for.
    process: Mutex<Option<Pid>>,
    /// Questions for which the socket had no room.
    unsent: Mutex<VecDeque<Vec<u8>>>,
    askers: Mutex<Vec<Asker>>,
    listening: Once,
    ending: AtomicBool,
    /// Says something to the user.
    tell: fn(&str),
}

/// Where answers go.
struct Asker {
    names: Sender<(IpAddr, Option<Untrusted>)>,
    origins: Sender<(IpAddr, Option<Origin>)>,
    systems: Sender<(u32, Option<Untrusted>)>,
    wake: Box<dyn Fn() + Send>,
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asker")
    }
}

impl Resolvers {
    /// Starts the process. It asks `server` or, if that is `None`, the C library and the system's name servers; DNS at
    /// most `wait` long. An early end is reported.
    ///
    /// # Errors
    /// [`SandboxError::Names`].
    pub fn start(
        server: Option<SocketAddr>,
        wait: Duration,
        tell: fn(&str),
    ) -> Result<Self, SandboxError> {
        let (flags, parent) = (SockFlag::SOCK_CLOEXEC, getpid());
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
        let (socket, theirs) = pair.map_err(|errno| SandboxError::Names(errno.into()))?;
        let child = process::start(theirs, None, |socket| look_up(socket, server, wait, parent));
        Ok(Self(Arc::new(Shared {
            socket,
            process: Mutex::new(Some(child.map_err(SandboxError::Names)?)),
            unsent: Mutex::default(),
            askers: Mutex::default(),
            listening: Once::new(),
            ending: AtomicBool::new(false),
            tell,
        })))
    }

    /// The process, as long as it has not been waited for.
    pub(super) fn process(&self) -> Option<u32> {
        lock(&self.0.process).and_then(|pid| pid.as_raw().try_into().ok())
    }

    /// The addresses of a host, as the C library has them. To be asked before anything else is.
    ///
    /// # Errors
    /// [`SandboxError::Lookups`] where nobody can be asked; within, the resolver's reason.
    pub fn host(&self, name: &str) -> Result<Result<Vec<IpAddr>, Untrusted>, SandboxError> {
        self.0.send(Question::Host(name.to_owned()).encode(0));
        let mut message = [0; LONGEST];
        match self.0.receive(&mut message) {
            Some((_, Answer::Host(found))) => Ok(found),
            Some((_, Answer::Unconfined(reason))) => Err(SandboxError::Lookups(reason.shown())),
            _ => Ok(Err("the process that looks up names has ended".into())),
        }
    }

    /// Names and origins of addresses, each of which times out `wait` after it was asked for. `wake` is called, from another thread,
    /// when some are there.
    #[must_use]
    pub fn lookups(&self, wake: impl Fn() + Send + 'static, wait: Duration) -> (Names, Origins) {
        let (names, found) = mpsc::channel();
        let (origins, announced) = mpsc::channel();
        let (systems, called) = mpsc::channel();
        let asker = {
            let mut askers = lock(&self.0.askers);
            askers.push(Asker { names, origins, systems, wake: Box::new(wake) });
            u8::try_from(askers.len() - 1).unwrap_or(u8::MAX)
        };
        let ask = move |question: Question, shared: &Arc<Shared>| {
            Shared::ask(shared, asker, &question);
        };
        let [name, origin, system] = [&self.0; 3].map(Arc::clone);
        let names = Lookups::answered(move |it| ask(Question::Name(it), &name), found, wait);
        let announced =
            Lookups::answered(move |it| ask(Question::Origin(it), &origin), announced, wait);
        let systems = Lookups::answered(move |it| ask(Question::System(it), &system), called, wait);
        (names, Origins::asked(announced, systems))
    }

    /// Ends the process. It takes a moment to go, which is not waited for: best said some time before this is dropped.
    pub fn stop(&self) {
        self.0.ending.store(true, Ordering::SeqCst);
        let _ = shutdown(self.0.socket.as_raw_fd(), Shutdown::Both);
        self.0.kill();
    }

    /// Ends the process, and waits until it has: for a run that goes on without it.
    pub fn end(self) {
        self.stop();
        self.0.reap(None);
    }
}

impl Drop for Resolvers {
    /// Waits for the process if it has already ended. On a busy machine that takes longer than a run should: then it is
    /// left to init, as is one whose parent was killed.
    fn drop(&mut self) {
        self.stop();
        self.0.reap(Some(WaitPidFlag::WNOHANG));
    }
}

impl Shared {
    /// Passes a question on, without waiting.
    fn ask(shared: &Arc<Self>, asker: u8, question: &Question) {
        shared.send(question.encode(asker));
        shared.listening.call_once(|| {
            let listener = Arc::clone(shared);
            let thread = thread::Builder::new().name("names".to_owned());
            // Without it whatever is asked times out in its time.
            let _ = thread.spawn(move || listener.listen());
        });
    }

    /// Sends a message as soon as there is room for it, after those before it.
    fn send(&self, message: Vec<u8>) {
        lock(&self.unsent).push_back(message);
        self.flush();
    }

    fn flush(&self) {
        let mut unsent = lock(&self.unsent);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while let Some(message) = unsent.front() {
            match send(self.socket.as_raw_fd(), message, flags) {
                Ok(_) => drop(unsent.pop_front()),
                Err(Errno::EINTR) => {}
                // When the next answer is there, so is room.
                Err(Errno::EAGAIN) => return,
                Err(_) => unsent.clear(),
            }
        }
    }

    /// Waits for the next answer; `None` if there will be no further one.
    fn receive(&self, message: &mut [u8; LONGEST]) -> Option<(u8, Answer)> {
        Answer::decode(next_message(&self.socket, message)?)
    }

    /// Hands out answers until there are no more.
    fn listen(&self) {
        let mut message = [0; LONGEST];
        let mut why = None;
        while let Some((asker, answer)) = self.receive(&mut message) {
            if let Answer::Unconfined(reason) = answer {
                why = Some(SandboxError::Lookups(reason.shown()));
                break;
            }
            if let Some(asker) = lock(&self.askers).get(usize::from(asker)) {
                asker.hear(answer);
            }
            self.flush();
        }
        if !self.ending.load(Ordering::SeqCst) {
            self.kill();
            self.reap(None);
            let why = why.map_or_else(
                || "the process that looks up names has ended".to_owned(),
                |why| why.to_string(),
            );
            (self.tell)(&format!("{why}: missing names are left out"));
        }
    }

    fn kill(&self) {
        if let Some(child) = *lock(&self.process) {
            let _ = kill(child, Signal::SIGKILL);
        }
    }

    /// Waits for the child, once: its number may be another's afterwards.
    fn reap(&self, flags: Option<WaitPidFlag>) {
        let child = lock(&self.process).take();
        if let Some(child) = child {
            while waitpid(child, flags) == Err(Errno::EINTR) {}
        }
    }
}

impl Asker {
    fn hear(&self, answer: Answer) {
        // If it cannot be sent, nobody waits for it.
        let heard = match answer {
            Answer::Name(key, value) => self.names.send((key, value)).is_ok(),
            Answer::Origin(key, value) => self.origins.send((key, value)).is_ok(),
            Answer::System(key, value) => self.systems.send((key, value)).is_ok(),
            Answer::Host(_) | Answer::Unconfined(_) => false,
        };
        if heard {
            (self.wake)();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next message; `None` at the end, or where one is longer than it may be.
fn next_message<'a>(socket: &OwnedFd, room: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
    let length = loop {
        match recv(socket.as_raw_fd(), room, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            received => break received.ok()?,
        }
    };
    room.get(..length).filter(|message| !message.is_empty() && message.len() < LONGEST)
}

/// What the child does, from its beginning to its end.
fn look_up(socket: OwnedFd, server: Option<SocketAddr>, wait: Duration, parent: Pid) {
    let _ = set_name(c"rtrace-names");
    // Ctrl-C and the like are the run's affair, and so is when this ends.
    let _ = SigSet::all().thread_block();
    let _ = setsid();
    let unconfined = |error: &SandboxError| {
        let reason = Answer::Unconfined(error.to_string().into()).encode(0);
        let _ = send(socket.as_raw_fd(), &reason, MsgFlags::MSG_NOSIGNAL);
    };
    // Before the signal is asked for: another identity forgets that.
    if let Err(error) = privilege::drop_for_good() {
        return unconfined(&error.into());
    }
    if set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent {
        return;
    }
    let ports = [Some(dns::PORT), server.map(|server| server.port())];
    let ports = ports.into_iter().flatten().collect();
    let confined = enter(&Profile { looks_up: Some(ports), ..Profile::default() });
    if let Err(error) = confined {
        return unconfined(&error);
    }
    let socket = Arc::new(socket);
    let resolver = Arc::new(Resolver { server, wait, dns: OnceLock::new() });
    // Each kind has its own slots, so that none waits for another.
    let [mut names, mut origins, mut systems] = [(); 3].map(|()| {
        let (socket, resolver) = (Arc::clone(&socket), Arc::clone(&resolver));
        Pool::new(move |(asker, question)| {
            let answer = resolver.answer(question).encode(asker);
            while send(socket.as_raw_fd(), &answer, MsgFlags::MSG_NOSIGNAL) == Err(Errno::EINTR) {}
        })
    });
    let mut room = [0; LONGEST];
    while let Some((asker, question)) = next_message(&socket, &mut room).and_then(Question::decode)
    {
        let pool = match &question {
            Question::Name(_) | Question::Host(_) => &mut names,
            Question::Origin(_) => &mut origins,
            Question::System(_) => &mut systems,
        };
        pool.ask((asker, question));
    }
}

/// Whom the child asks.
struct Resolver {
    server: Option<SocketAddr>,
    wait: Duration,
    dns: OnceLock<Dns>,
}

impl Resolver {
    fn dns(&self) -> &Dns {
        self.dns.get_or_init(|| match self.server {
            Some(server) => Dns::at(server, self.wait),
            None => Dns::of_system(self.wait),
        })
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Name(address) => {
                let by_dns = self.server.is_some();
                let ask = || names::by_c_library(address);
                let name = if by_dns { self.dns().name(address) } else { ask() };
                Answer::Name(address, name.and_then(|name| Untrusted::from(name).host_name()))
            }
            Question::Origin(address) => {
                Answer::Origin(address, origins::of_cymru(self.dns(), address))
            }
            Question::System(number) => {
                Answer::System(number, origins::name_of_cymru(self.dns(), number))
            }
            Question::Host(name) => {
                let by_library = || dns_lookup::lookup_host(&name).map(Iterator::collect);
                let found = match self.server {
                    None => by_library().map_err(|error| io::Error::from(error).to_string()),
                    Some(_) if !Dns::can_ask_for(&name) => {
                        Err("it is not a domain name".to_owned())
                    }
                    Some(server) => {
                        let silent = |_| format!("no answer from {server}");
                        self.dns().addresses(&name).map_err(silent)
                    }
                };
                Answer::Host(found.map_err(Into::into))
            }
        }
    }
}
