//! One exchange with a server, in a thread of its own, so that the wait for a server has a limit.
//!
//! The client's limits hold for each step of a connection. A server that takes many small steps and sends nothing of the file passes
//! all of them; here the wait for the next bytes ends, whatever the connection is doing.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, RequestBuilder, typestate::WithoutBody};

const CHUNK: usize = 128 << 10;
/// Chunks that may wait for the disk.
const AHEAD: usize = 4;

/// What a server sends, in this order.
enum Piece {
    Head(Response<()>),
    Bytes(Vec<u8>),
    End,
}

/// Why the next piece is not there.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The client gave up.
    Client(ureq::Error),
    /// Nothing came for as long as was waited.
    Silence,
}

/// An exchange under way. Its thread ends with the connection; after this value is dropped, it ends when the next bytes arrive.
pub(crate) struct Exchange {
    pieces: Receiver<Result<Piece, ureq::Error>>,
}

impl Exchange {
    /// Asks for `url` from byte `start` on.
    pub(crate) fn begin(agent: &Agent, url: &str, start: u64) -> Self {
        let mut request = agent.get(url);
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let (sender, pieces) = sync_channel(AHEAD);
        std::thread::spawn(move || {
            if let Err(error) = send(request, &sender) {
                // The receiver may be gone.
                let _ = sender.send(Err(error));
            }
        });
        Self { pieces }
    }

    /// Status and headers of the answer.
    pub(crate) fn head(&mut self, wait: Duration) -> Result<Response<()>, Trouble> {
        match self.next(wait)? {
            Piece::Head(head) => Ok(head),
            Piece::Bytes(_) | Piece::End => Err(broken()),
        }
    }

    /// More of the content; `None` at its end.
    pub(crate) fn bytes(&mut self, wait: Duration) -> Result<Option<Vec<u8>>, Trouble> {
        match self.next(wait)? {
            Piece::Bytes(bytes) => Ok(Some(bytes)),
            Piece::End => Ok(None),
            Piece::Head(_) => Err(broken()),
        }
    }

    fn next(&mut self, wait: Duration) -> Result<Piece, Trouble> {
        match self.pieces.recv_timeout(wait) {
            Ok(piece) => piece.map_err(Trouble::Client),
            Err(RecvTimeoutError::Timeout) => Err(Trouble::Silence),
            Err(RecvTimeoutError::Disconnected) => Err(broken()),
        }
    }
}

fn broken() -> Trouble {
    Trouble::Client(std::io::Error::other("the exchange broke down").into())
}

fn send(
    request: RequestBuilder<WithoutBody>,
    pieces: &SyncSender<Result<Piece, ureq::Error>>,
) -> Result<(), ureq::Error> {
    let (head, body) = request.call()?.into_parts();
    let mut wanted = pieces.send(Ok(Piece::Head(Response::from_parts(head, ())))).is_ok();
    let mut reader = body.into_reader();
    while wanted {
        let mut chunk = vec![0; CHUNK];
        let read = reader.read(&mut chunk)?;
        chunk.truncate(read);
        if read == 0 {
            // The receiver may be gone.
            let _ = pieces.send(Ok(Piece::End));
            break;
        }
        wanted = pieces.send(Ok(Piece::Bytes(chunk))).is_ok();
    }
    Ok(())
}
