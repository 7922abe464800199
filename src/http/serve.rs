//! Accepts connections, as many as there may be, until the server goes away.

use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{App, connection, router::router};

/// How long answers that are being made may take after the shutdown; what is left then is cut.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How long to wait when the process is out of file descriptors.
const NO_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Serves `app` on `listener` until `shutdown` resolves.
///
/// Then no connection is accepted any more, long polls answer as things are, streams end, requests that are being
/// answered get five seconds, and what is left is cut. A connection that became a WebSocket is told so too, and is not
/// waited for: it ends by itself within a second. Whoever wants running tasks to end first drains the engine
/// before: meanwhile everything is answered as usual.
pub async fn serve(listener: TcpListener, app: App, shutdown: impl Future<Output = ()>) {
    let router = router(app.clone());
    let places = Arc::new(Semaphore::new(app.settings().max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accept = async {
            // A place first: beyond the limit nobody is accepted, the kernel lets them wait.
            let place = Arc::clone(&places).acquire_owned().await;
            (accept(&listener).await, place)
        };
        let (stream, place) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept => accepted,
        };
        let (app, router) = (app.clone(), router.clone());
        connections.spawn(async move {
            connection::drive(stream, app, router).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    app.close();
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(LAST_ANSWERS, all).await.is_err() {
        connections.abort_all();
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole: waiting for more to send would only delay them.
                if stream.set_nodelay(true).is_ok() {
                    return stream;
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections now");
                sleep(NO_DESCRIPTORS).await;
            }
        }
    }
}

/// Whether only the connection that was about to be accepted is at fault.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
