//! The endpoint that Prometheus reads: HTTP in a thread of its own, so that no reader holds up the gateway.
//!
//! A reader's request goes to the engine thread, which answers with numbers; the text is made here. Readers, their time and
//! their headers are bounded.

use crate::poll::Waker;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use observe::metrics::{Family, MEDIA_TYPE, render};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// Readers at a time; more wait in the system's queue.
const READERS: usize = 16;
/// How long a reader may take for its headers.
const HEADERS: Duration = Duration::from_secs(5);
/// How long a connection lives at most.
const CONNECTION: Duration = Duration::from_secs(60);
/// How long the engine may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Where an answer is wanted.
type Asked = oneshot::Sender<Vec<Family>>;

/// The engine thread's side: who has asked.
#[derive(Debug)]
pub struct Scrapes {
    asked: Receiver<Asked>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Scrapes {
    /// Everybody who has asked since the last call.
    pub fn take(&self) -> impl Iterator<Item = Asked> + '_ {
        self.asked.try_iter().take(READERS)
    }
}

/// Listens at `address` and wakes `waker` for each reader.
///
/// # Errors
/// What the system says of the address.
pub fn serve(address: SocketAddr, waker: Waker) -> io::Result<Scrapes> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (to_engine, asked) = sync_channel(READERS);
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        runtime.block_on(accept(listener, Arc::new(Asker { to_engine, waker })));
    })?;
    Ok(Scrapes { asked, address })
}

/// The readers' side.
struct Asker {
    to_engine: SyncSender<Asked>,
    waker: Waker,
}

async fn accept(listener: TcpListener, asker: Arc<Asker>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let readers = Arc::new(Semaphore::new(READERS));
    loop {
        let Ok(permit) = Arc::clone(&readers).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptors left, say: not to turn in circles meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let asker = Arc::clone(&asker);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &asker));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(16 * 1024);
            // A reader that misbehaves or is too slow is left.
            let _ = tokio::time::timeout(CONNECTION, server.serve_connection(TokioIo::new(stream), service)).await;
            drop(permit);
        });
    }
}

async fn answer<B>(request: Request<B>, asker: &Asker) -> Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n"));
    }
    Ok(match request.uri().path() {
        "/metrics" => match ask(asker).await {
            Some(families) => {
                let mut response = text(StatusCode::OK, render(families));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
                response
            }
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the gateway does not answer: it stops, or has much to do\n"),
        },
        "/" => text(StatusCode::OK, "underpass: metrics for Prometheus are at /metrics\n"),
        _ => text(StatusCode::NOT_FOUND, "not here: metrics for Prometheus are at /metrics\n"),
    })
}

async fn ask(asker: &Asker) -> Option<Vec<Family>> {
    let (sender, answer) = oneshot::channel();
    asker.to_engine.try_send(sender).ok()?;
    asker.waker.wake();
    tokio::time::timeout(ANSWER, answer).await.ok()?.ok()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
