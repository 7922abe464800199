//! `GET /query`: subscriptions over a WebSocket (RFC 6455).
//!
//! A client offers one of two subprotocols, `graphql-transport-ws` or the older `graphql-ws`; we choose, and speak what we
//! chose. Its token comes in the header, or in the connection's first message. Whoever takes nothing of what is sent, or
//! says nothing at all, is cut.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ::http::header::UPGRADE;
use async_graphql::{
    Data, Executor, Request, Response as Answer, ServerError,
    http::{WebSocket as Conversation, WebSocketProtocols as Protocols, WsMessage},
};
use axum::extract::{
    FromRequestParts,
    ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
};
use bytes::Bytes;
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    future::ready,
    stream::{BoxStream, empty, once, unfold},
};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout},
};

use super::{PLATFORM, caller::Caller, request};
use crate::http::{
    App, Response, Scope,
    auth::{self, Principal},
    call::Call,
    origin,
    problem::{Kind, Problem},
    stream::{self, HEARTBEAT},
};

/// What we speak, the better one first.
const PROTOCOLS: [Protocols; 2] = [Protocols::GraphQLWS, Protocols::SubscriptionsTransportWS];
/// The largest message of a client: a query and its variables.
const LARGEST_MESSAGE: usize = 128 << 10;
/// How much of a connection is read at once. A client says little: the library would take 128 KiB for each.
const READ_AT_ONCE: usize = 4 << 10;
/// How much is gathered before it is written.
const WRITE_AT_ONCE: usize = 16 << 10;
/// How many subscriptions one connection may have at once.
const MOST_SUBSCRIPTIONS: usize = 8;
/// How many it may have begun at once, with those that were refused.
const MOST_BEGUN: usize = 32;
/// How long a write may go on when the server goes away.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a client may take to introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// How long a reader may take nothing of what is sent.
const BLOCKED: Duration = Duration::from_secs(30);
/// How many messages are written at once, before we listen again.
const WRITTEN_AT_ONCE: usize = 64;
/// How long after an error the end of its subscription is told. The published command line ends by itself at the error,
/// and hangs now and then where the end comes at the same time.
const AFTER_AN_ERROR: Duration = Duration::from_millis(500);
/// The longest reason of a close (RFC 6455 §5.5), in bytes.
const LONGEST_REASON: usize = 123;

/// `GET /query`
pub async fn open(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    origin::check_reader(call.app.settings(), call.headers())?;
    let is_socket = call.headers().get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let has_token = auth::bearer(call.headers()).is_some();
    let is_stranger = is_socket && !has_token && !call.app.settings().tokens.is_empty();
    let principal = match is_stranger {
        true => Principal::Anyone,
        false => auth::authenticate(&call.app, call.headers())?,
    };
    if !is_stranger {
        may_read(&call.app, &principal).await?;
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut call.parts, &()).await.map_err(|rejection| {
        let what = "this is for WebSockets: send operations by POST, or open a WebSocket for subscriptions";
        Problem::new(Kind::MalformedRequest, format!("{what} ({rejection})"))
    })?;
    let upgrade = upgrade
        .max_message_size(LARGEST_MESSAGE)
        .max_frame_size(LARGEST_MESSAGE)
        .read_buffer_size(READ_AT_ONCE)
        .write_buffer_size(WRITE_AT_ONCE)
        .protocols(PROTOCOLS.map(|protocol| protocol.sec_websocket_protocol()));
    let chosen = upgrade.selected_protocol().and_then(|chosen| chosen.to_str().ok());
    let Some(protocol) = chosen.and_then(|chosen| chosen.parse().ok()) else {
        let what = "offer graphql-transport-ws or graphql-ws";
        return Err(Problem::unreadable_header("Sec-WebSocket-Protocol", what));
    };
    let place = match is_stranger {
        true => call
            .app
            .stranger_permit()
            .ok_or_else(|| Problem::new(Kind::TooManyStreams, "too many connections have not said yet who they are"))?,
        false => stream::permit(call)?,
    };
    let session = Session {
        app: call.app.clone(),
        has_token,
        is_stranger,
        caller: Caller::new(call, principal),
        protocol,
        state: Arc::new(State { place: Mutex::new(Some(place)), ..State::default() }),
    };
    Ok(upgrade.on_upgrade(|socket| session.serve(socket)))
}

/// Checks that somebody may subscribe at all. An attempt may follow its own log: that is asked of the field.
async fn may_read(app: &App, principal: &Principal) -> Result<(), Problem> {
    match principal {
        Principal::Attempt(_) => Ok(()),
        Principal::Anyone | Principal::Token { .. } => auth::authorize(app, principal, Scope::Read, None).await,
    }
}

struct Session {
    app: App,
    /// Whether a token came in the header; else the first message may bring one.
    has_token: bool,
    /// Whether it has to.
    is_stranger: bool,
    caller: Caller,
    protocol: Protocols,
    state: Arc<State>,
}

/// What a connection has come to.
#[derive(Default)]
struct State {
    /// The client has introduced itself.
    is_known: AtomicBool,
    /// It has, and was refused.
    is_refused: AtomicBool,
    /// Something came since this was last asked.
    is_heard: AtomicBool,
    /// More was begun at once than anybody needs.
    is_flooded: AtomicBool,
    /// A message was longer than any needs to be.
    is_overlong: AtomicBool,
    /// Held to the end of the connection: a stranger's place, then one of a stream.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Session {
    /// Serves a connection until either side ends it.
    async fn serve(self, socket: WebSocket) {
        let state = Arc::clone(&self.state);
        let (mut sink, messages) = socket.split();
        let (listener, judge, gauge) = (Arc::clone(&state), Arc::clone(&state), Arc::clone(&state));
        let words = messages
            .inspect(move |message| {
                // The library's own kinds of errors are not ours to name.
                if message.as_ref().is_err_and(|error| error.to_string().contains("too long")) {
                    gauge.is_overlong.store(true, Relaxed);
                }
            })
            .take_while(move |message| {
                ready(!judge.is_flooded.load(Relaxed) && !matches!(message, Err(_) | Ok(Message::Close(_))))
            })
            .filter_map(move |message| {
                listener.is_heard.store(true, Relaxed);
                ready(match message {
                    Ok(Message::Text(text)) => Some(Bytes::from(text)),
                    // Both protocols are of text; what is none is refused as such.
                    Ok(Message::Binary(_)) => Some(Bytes::new()),
                    Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) | Err(_) => None,
                })
            });
        let subscriptions = Subscriptions {
            places: Arc::new(Semaphore::new(MOST_SUBSCRIPTIONS)),
            begun: Arc::new(Semaphore::new(MOST_BEGUN)),
            state: Arc::clone(&state),
        };
        let (app, protocol, door) = (self.app.clone(), self.protocol, Arc::clone(&state));
        let introduced = move |payload: Value| async move {
            let caller = self.introduce(&payload).await;
            door.is_refused.store(caller.is_err(), Relaxed);
            door.is_known.store(true, Relaxed);
            let mut data = Data::default();
            data.insert(caller?);
            Ok(data)
        };
        let mut conversation =
            Box::pin(Conversation::new(subscriptions, words, protocol).on_connection_init(introduced));
        let begun = Instant::now();
        let mut beats = interval_at(begun + HEARTBEAT, HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let word = |said: Option<WsMessage>| match said {
            Some(WsMessage::Text(text)) => Message::Text(text.into()),
            Some(WsMessage::Close(code, reason)) => close(&state, code, &reason),
            None if state.is_flooded.load(Relaxed) => close(&state, 4429, "too many operations at once"),
            None if state.is_overlong.load(Relaxed) => close(&state, 1009, "a message is longer than 128 KiB"),
            // The client has gone, or goes.
            None => Message::Close(None),
        };
        loop {
            let first = tokio::select! {
                biased;
                () = app.closing() => close(&state, 1001, "the server goes away"),
                // Before the beat, so that what came while we wrote is heard first.
                said = conversation.next() => word(said),
                () = sleep_until(begun + INTRODUCTION), if !state.is_known.load(Relaxed) => {
                    close(&state, 4408, "connection_init did not come in time")
                }
                _ = beats.tick() => {
                    if !state.is_heard.swap(false, Relaxed) {
                        return;
                    }
                    Message::Ping(Bytes::new())
                }
            };
            // What else is ready goes in the same write.
            let mut batch = vec![first];
            while batch.len() < WRITTEN_AT_ONCE
                && !is_close(batch.last())
                && let Some(said) = conversation.next().now_or_never()
            {
                batch.push(word(said));
            }
            let is_last = is_close(batch.last());
            let leaves = batch.pop_if(|last| matches!(last, Message::Close(None))).is_some();
            let written = async {
                for message in batch {
                    timeout(BLOCKED, sink.feed(message)).await.ok()?.ok()?;
                }
                // What answers its own close is written by this too.
                let end = async { if leaves { sink.close().await } else { sink.flush().await } };
                timeout(BLOCKED, end).await.ok()?.ok()
            };
            let gone = async {
                app.closing().await;
                sleep(LAST_WORDS).await;
            };
            let written = tokio::select! {
                written = written => written,
                () = gone => None,
            };
            if written.is_none() || is_last {
                return;
            }
        }
    }

    /// Who the client is, by its header, else by its first message.
    async fn introduce(self, payload: &Value) -> async_graphql::Result<Caller> {
        if self.has_token {
            return Ok(self.caller);
        }
        let principal = auth::identify(&self.app, token_in(payload)).map_err(|problem| problem.line())?;
        may_read(&self.app, &principal).await.map_err(|problem| problem.line())?;
        if self.is_stranger {
            let place = self.app.stream_permit().ok_or("as many streams are open as limits.streams allows")?;
            *self.state.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        }
        Ok(self.caller.known_as(principal))
    }
}

/// The token of a first message: `Authorization`, at its top or among its `headers`, as a header would have it.
fn token_in(payload: &Value) -> Option<&str> {
    let members = [Some(payload), payload.get("headers")].into_iter().flatten().filter_map(Value::as_object).flatten();
    let (_, value) = members.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    auth::bearer_in(value.as_str()?)
}

fn is_close(message: Option<&Message>) -> bool {
    matches!(message, Some(Message::Close(_)))
}

/// The end of a connection, in the codes of `graphql-transport-ws` where the library has others.
fn close(state: &State, code: u16, reason: &str) -> Message {
    let code = match code {
        1002 if state.is_refused.load(Relaxed) => 4403,
        1002 => 4400,
        // A subscription before the introduction.
        1011 => 4401,
        other => other,
    };
    let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

/// What subscriptions are carried out by: within the bounds of every request, and so many at once.
#[derive(Clone)]
struct Subscriptions {
    places: Arc<Semaphore>,
    /// Of all that the library keeps, those that were refused too.
    begun: Arc<Semaphore>,
    state: Arc<State>,
}

impl Executor for Subscriptions {
    async fn execute(&self, request: Request) -> Answer {
        PLATFORM.execute(request).await
    }

    fn execute_stream(&self, request: Request, data: Option<Arc<Data>>) -> BoxStream<'static, Answer> {
        let refuse = |error: Box<ServerError>| once(ready(Answer::from_errors(vec![*error]))).boxed();
        let Ok(begun) = Arc::clone(&self.begun).try_acquire_owned() else {
            self.state.is_flooded.store(true, Relaxed);
            return empty().boxed();
        };
        let answers = match (request::subscription(request), Arc::clone(&self.places).try_acquire_owned()) {
            (Err(refused), _) => refuse(refused),
            (Ok(_), Err(_)) => refuse(request::refusal(&format!(
                "a connection has at most {MOST_SUBSCRIPTIONS} subscriptions at once"
            ))),
            (Ok(request), Ok(place)) => {
                let answers = Executor::execute_stream(&*PLATFORM, request, data);
                answers.inspect(move |_| _ = &place).boxed()
            }
        };
        unfold((answers, begun, false), |(mut answers, begun, has_failed)| async move {
            match answers.next().await {
                Some(answer) => {
                    let has_failed = answer.is_err();
                    Some((answer, (answers, begun, has_failed)))
                }
                None => {
                    if has_failed {
                        sleep(AFTER_AN_ERROR).await;
                    }
                    None
                }
            }
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_may_come_in_the_first_message() {
        for payload in [
            json!({"Authorization": "Bearer abc"}),
            json!({"authorization": "bearer abc", "other": 1}),
            json!({"headers": {"AUTHORIZATION": "Bearer abc"}}),
        ] {
            assert_eq!(token_in(&payload), Some("abc"), "{payload}");
        }
        for payload in [json!(null), json!({}), json!({"Authorization": "abc"}), json!({"Authorization": 7}), json!([])]
        {
            assert_eq!(token_in(&payload), None, "{payload}");
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let Message::Close(Some(frame)) = close(&State::default(), 1002, &"é".repeat(100)) else { panic!("no close") };
        assert_eq!((frame.code, frame.reason.len()), (4400, 122));
    }
}
