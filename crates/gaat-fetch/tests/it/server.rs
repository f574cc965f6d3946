//! A small HTTP server whose answers are scripted, one a connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a connection does with the head of its request.
pub(crate) type Answer = Box<dyn Fn(&str, &mut TcpStream) + Send>;

/// A server that runs until the test process ends.
pub(crate) struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Gives the answers in order, and the last of them from then on.
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let head = head(&mut stream);
                seen.lock().unwrap().push(head.clone());
                answers[index.min(answers.len() - 1)](&head, &mut stream);
            }
        });
        Self { base, requests }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The path and the range of every request so far, such as `/a.gz bytes=7-`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let brief = |head: &String| {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let range = range(head).map(|start| format!(" bytes={start}-")).unwrap_or_default();
            format!("{path}{range}")
        };
        self.requests.lock().unwrap().iter().map(brief).collect()
    }
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The first byte that a request asks for, where it names one.
fn range(head: &str) -> Option<usize> {
    let line =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    line?.trim_end_matches('-').parse().ok()
}

fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    // The client may have hung up already, which is its right.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// Sends `content` from the byte asked for on, but only `sent` bytes of it, and then does as `end` says.
fn partial(content: Vec<u8>, sent: usize, end: fn()) -> Answer {
    Box::new(move |head, stream| {
        let start = range(head).unwrap_or(0);
        let rest = &content[start.min(content.len())..];
        let length = format!("Content-Length: {}\r\n", rest.len());
        let total = content.len();
        let (status, headers) = match range(head) {
            Some(start) if start >= total => {
                return send(stream, "416 Range Not Satisfiable", "Content-Length: 0\r\n", b"");
            }
            Some(start) => (
                "206 Partial Content",
                format!("{length}Content-Range: bytes {start}-{}/{total}\r\n", total - 1),
            ),
            None => ("200 OK", length),
        };
        send(stream, status, &headers, &rest[..sent.min(rest.len())]);
        end();
    })
}

pub(crate) fn whole(content: &[u8]) -> Answer {
    partial(content.to_vec(), usize::MAX, || {})
}

/// Hangs up after `sent` bytes.
pub(crate) fn cut(content: &[u8], sent: usize) -> Answer {
    partial(content.to_vec(), sent, || {})
}

/// Keeps the line open after `sent` bytes and sends no more.
pub(crate) fn stall(content: &[u8], sent: usize) -> Answer {
    partial(content.to_vec(), sent, || std::thread::sleep(Duration::from_secs(2)))
}

/// Begins an answer with `headers`, and sends `drop` again and again, or nothing, for a while.
pub(crate) fn dripping(headers: &'static str, drop: &'static str) -> Answer {
    Box::new(move |_, stream| {
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{headers}").as_bytes());
        for _ in 0..40 {
            if stream.write_all(drop.as_bytes()).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    })
}

/// Sends the whole whatever range was asked for.
pub(crate) fn without_ranges(content: &[u8]) -> Answer {
    let content = content.to_vec();
    Box::new(move |_, stream| {
        send(stream, "200 OK", &format!("Content-Length: {}\r\n", content.len()), &content);
    })
}

/// Answers every range with `line` and `headers` and no bytes; sends the whole where no range is asked for.
pub(crate) fn confused_by_ranges(content: &[u8], line: &'static str, headers: &'static str) -> Answer {
    let send_whole = without_ranges(content);
    Box::new(move |head, stream| match range(head) {
        Some(_) => send(stream, line, headers, b""),
        None => send_whole(head, stream),
    })
}

/// Sends `content` without saying how long it is.
pub(crate) fn of_unknown_length(content: &[u8]) -> Answer {
    let content = content.to_vec();
    Box::new(move |_, stream| send(stream, "200 OK", "", &content))
}

pub(crate) fn status(line: &'static str) -> Answer {
    Box::new(move |_, stream| send(stream, line, "Content-Length: 0\r\n", b""))
}

pub(crate) fn redirect(to: String) -> Answer {
    Box::new(move |_, stream| {
        send(stream, "302 Found", &format!("Location: {to}\r\nContent-Length: 0\r\n"), b"");
    })
}
