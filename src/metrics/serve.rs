//! A small HTTP server for one page, `GET /metrics`.
//!
//! One thread waits for all its clients at once, so that none holds up another. A client has `PATIENCE` for
//! all of its business and `HEAD_MAX` bytes to ask in; of more than `CLIENTS` the oldest is sent away. What a client says
//! beyond the request line is not looked at.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Metrics;

/// How long a client may take, all in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nobody is let in when the system has no room for another connection.
const REST: Duration = Duration::from_millis(100);
/// The longest head of a request, in bytes.
const HEAD_MAX: usize = 8_192;
/// How many clients are served at a time.
const CLIENTS: usize = 32;
/// How many are let in before those who are in have their turn.
const GUESTS: usize = 8;
/// The most reads of one client before others have their turn.
const TURN: usize = 4;

/// What the content is, as `OpenMetrics` 1.0 has it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// An address that is listened at. Opening it may take privilege, what follows does not.
pub struct Server {
    listener: TcpListener,
    asked: SocketAddr,
}

impl Server {
    /// Listens at this address.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(asked: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(asked)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, asked })
    }

    /// Where it listens, if that is not what was asked for: a port that was free in the place of 0.
    ///
    /// # Errors
    /// The system's.
    pub fn chosen(&self) -> io::Result<Option<SocketAddr>> {
        let address = self.listener.local_addr()?;
        Ok((self.asked.port() == 0).then_some(address))
    }

    /// Serves these metrics from a thread of its own, until the process ends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(self, metrics: Metrics) -> io::Result<()> {
        let thread = thread::Builder::new().name("metrics".into());
        thread.spawn(move || serve(&self.listener, &metrics)).map(drop)
    }
}

fn serve(listener: &TcpListener, metrics: &Metrics) {
    let mut clients: Vec<Client> = Vec::new();
    let mut rests_until: Option<Instant> = None;
    loop {
        let now = Instant::now();
        rests_until = rests_until.filter(|until| *until > now);
        wait(listener, &clients, rests_until, now);
        let now = Instant::now();
        clients.retain_mut(|client| client.until > now && client.turn(metrics));
        if rests_until.is_none() && !accept(listener, &mut clients, now) {
            // No descriptors are left, it seems: some may be ours.
            clients.drain(..clients.len().min(1));
            rests_until = Some(now + REST);
        }
    }
}

/// Waits until somebody has something for us, or time runs out for one of them.
fn wait(listener: &TcpListener, clients: &[Client], rests_until: Option<Instant>, now: Instant) {
    let mut awaited: Vec<PollFd<'_>> = clients.iter().map(Client::awaits).collect();
    if rests_until.is_none() {
        awaited.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
    }
    let ends = clients.iter().map(|client| client.until).chain(rests_until).min();
    let timeout = ends.map_or(PollTimeout::NONE, |end| {
        let left = end.saturating_duration_since(now) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    });
    // Interrupted or not: whoever is not ready says so when tried.
    let _ = poll(&mut awaited, timeout);
}

/// Lets in whoever waits outside; `false` if there is no room.
fn accept(listener: &TcpListener, clients: &mut Vec<Client>, now: Instant) -> bool {
    for _ in 0..GUESTS {
        match listener.accept() {
            Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => {
                if clients.len() == CLIENTS {
                    clients.remove(0);
                }
                clients.push(Client::new(stream, now + PATIENCE));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            // It went before it was let in.
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) => {}
            Err(_) => return false,
        }
    }
    true
}

/// A connection: first the request is read, then the response written, then it is waited for the client
/// to close, whom an early end would cost the response.
struct Client {
    stream: TcpStream,
    until: Instant,
    request: Vec<u8>,
    response: Vec<u8>,
    written: usize,
}

impl Client {
    fn new(stream: TcpStream, until: Instant) -> Self {
        Self { stream, until, request: Vec::new(), response: Vec::new(), written: 0 }
    }

    fn awaits(&self) -> PollFd<'_> {
        let writes = self.written < self.response.len();
        let flags = if writes { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        PollFd::new(self.stream.as_fd(), flags)
    }

    /// Goes as far as it can; `false` when it is over.
    fn turn(&mut self, metrics: &Metrics) -> bool {
        let outcome = if self.response.is_empty() { self.read(metrics) } else { Ok(()) };
        match outcome.and_then(|()| self.write()).and_then(|()| self.close()) {
            Ok(()) => false,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Reads the request until it can be answered.
    fn read(&mut self, metrics: &Metrics) -> io::Result<()> {
        let mut bytes = [0; 1_024];
        for _ in 0..TURN {
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.request.extend_from_slice(&bytes[..count]);
            let ends = |end: &[u8]| self.request.windows(end.len()).any(|at| at == end);
            if ends(b"\r\n\r\n") || ends(b"\n\n") {
                self.response = respond(&self.request, metrics);
                return Ok(());
            }
            if self.request.len() > HEAD_MAX {
                self.response =
                    response("431 Request Header Fields Too Large", PLAIN, "too long\n", true);
                return Ok(());
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(rest) = self.response.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => self.written += count,
            }
            if self.written == self.response.len() {
                self.stream.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }

    /// Reads to the end what the client still has to say.
    fn close(&mut self) -> io::Result<()> {
        let mut bytes = [0; 1_024];
        for _ in 0..TURN {
            if self.stream.read(&mut bytes)? == 0 {
                return Ok(());
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }
}

/// The response to a request, of which only the first line matters.
fn respond(request: &[u8], metrics: &Metrics) -> Vec<u8> {
    let line = request.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.trim_ascii_end().split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return response("400 Bad Request", PLAIN, "this is not HTTP\n", true);
    };
    if !version.starts_with(b"HTTP/1.") {
        return response("400 Bad Request", PLAIN, "this is not HTTP/1\n", true);
    }
    let body = match method {
        b"GET" => true,
        b"HEAD" => false,
        _ => return response("405 Method Not Allowed", PLAIN, "only GET and HEAD\n", true),
    };
    match target.split(|byte| *byte == b'?').next() {
        Some(b"/metrics") => response("200 OK", OPEN_METRICS, &metrics.text(), body),
        _ => response("404 Not Found", PLAIN, "see /metrics\n", body),
    }
}

fn response(status: &str, kind: &str, content: &str, with_body: bool) -> Vec<u8> {
    let length = content.len();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    let body = if with_body { content } else { "" };
    [head.as_bytes(), body.as_bytes()].concat()
}
