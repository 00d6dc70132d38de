//! What a client asks for on its session, and the answers.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};
use weft_proto::frame::{ProfileFrame, Reply, Request, error_frame, parse_request};
use weft_proto::svc::{Logout, RemovePush, Report, SetPush};
use weft_proto::{ApiError, Body, ErrorCode, RoomId};

use super::Ended;
use super::presence::{self, SessionPresence};
use super::turn::Turns;
use super::writer::SocketWriter;
use crate::answers::SendAnswer;
use crate::auth::Caller;
use crate::cost;
use crate::delivery::TokenCell;
use crate::interactions;
use crate::links;
use crate::marks::{Marked, Marks};
use crate::metrics;
use crate::queries;
use crate::rate::{Bucket, rate_limited};
use crate::sending::{Sends, Told};
use crate::shared::Shared;

mod keep;

/// Calls of one session that core answers at once; others wait. It bounds what their answers take.
const CALLS_MAX: usize = 8;

type Call = Pin<Box<dyn Future<Output = (u64, Vec<u8>)> + Send>>;

fn no_answer() -> ApiError {
    ApiError::new(ErrorCode::Unknown, "no answer in time: it may or may not have been done")
}

/// An answer that has come.
pub(super) enum Next {
    /// To a send.
    Sent(SendAnswer),
    /// To a mark.
    Marked(SendAnswer),
    /// To another request: its id and the frame.
    Called(u64, Vec<u8>),
}

/// The unanswered requests of a session, and its limits.
pub(super) struct Requests {
    shared: Arc<Shared>,
    caller: Caller,
    token: TokenCell,
    expires_at: Instant,
    outbox: Sends,
    /// From the first mark on.
    marks: Option<Box<Marks>>,
    calls: FuturesUnordered<Call>,
    calls_waiting: VecDeque<Call>,
    sends: Bucket,
    /// Of all other requests, by cost. Calls that wait for it have it too.
    others: Arc<Bucket>,
    presence: Arc<SessionPresence>,
    /// Of changes of settings and drafts.
    notebook: Turns,
}

impl Requests {
    pub(super) fn new(
        shared: Arc<Shared>,
        caller: Caller,
        token: TokenCell,
        presence: Arc<SessionPresence>,
    ) -> Self {
        Self {
            token,
            presence,
            expires_at: shared.expiry(&caller),
            outbox: shared.sending.open(caller.user.clone()),
            marks: None,
            notebook: Turns::default(),
            calls: FuturesUnordered::new(),
            calls_waiting: VecDeque::new(),
            sends: Bucket::new(shared.limits.sends),
            others: Arc::new(Bucket::new(shared.limits.requests)),
            shared,
            caller,
        }
    }

    pub(super) fn presence(&self) -> &Arc<SessionPresence> {
        &self.presence
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// When the token ends.
    pub(super) fn expires_at(&self) -> Instant {
        self.expires_at
    }

    /// How many sends and marks have no answer yet.
    pub(super) fn unanswered_sends(&self) -> usize {
        self.outbox.unanswered() + self.marks.as_ref().map_or(0, |marks| marks.unanswered())
    }

    /// When [`on_time`](Self::on_time) has to be called, at the latest.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let marks = self.marks.as_ref().and_then(|marks| marks.due_at());
        [self.outbox.due_at(), marks].into_iter().flatten().min()
    }

    /// Publishes sends and marks again, or gives them up.
    pub(super) async fn on_time(
        &mut self,
        now: Instant,
        writer: &mut SocketWriter,
    ) -> Result<(), Ended> {
        let told = self.outbox.on_time(now).await;
        answer(told, writer).await?;
        let Some(marks) = &mut self.marks else { return Ok(()) };
        answer_marks(marks.on_time(now).await, writer).await
    }

    /// Takes a request, and answers it where that needs nobody else.
    pub(super) async fn on_request(
        &mut self,
        text: &str,
        writer: &mut SocketWriter,
    ) -> Result<(), Ended> {
        let (id, taken) = match parse_request(text) {
            Ok((id, request)) if self.is_own_logout(&request) => {
                return Box::pin(self.log_out(id, writer)).await;
            }
            Ok((id, request @ Request::Mark { .. })) => {
                return Box::pin(self.mark(id, request, writer)).await;
            }
            Ok((id, request)) => {
                let is_send = matches!(request, Request::Send { .. });
                let taken = self.take(id, request).await;
                if is_send {
                    metrics::SENDS.increment("websocket");
                    taken.as_ref().inspect_err(|error| count(error)).ok();
                }
                (id, taken)
            }
            Err(bad) => {
                // A flood of them is read as slowly as it may come.
                Box::pin(self.others.pay(1)).await;
                let frame = error_frame(&bad.error);
                return match bad.id {
                    Some(id) => writer.answer(id, &frame).await,
                    None => writer.feed(frame.try_into().unwrap_or_default()).await,
                };
            }
        };
        match taken {
            Ok(None) => Ok(()),
            Ok(Some(reply)) => writer.answer(id, &reply.to_frame()).await,
            Err(error) => writer.answer(id, &error_frame(&error)).await,
        }
    }

    /// Takes a mark. Beyond its rate it is refused: a later one says more.
    async fn mark(
        &mut self,
        id: u64,
        request: Request,
        writer: &mut SocketWriter,
    ) -> Result<(), Ended> {
        let limits = self.check_limits(&request);
        let Request::Mark { room, mark } = request else { return Ok(()) };
        let in_scope = match self.caller.scope {
            Some(_) => self.caller.check_publish(&room, &Body::Mark(mark.clone())),
            None => Ok(()),
        };
        let marked = match in_scope.and(limits) {
            Ok(0) => {
                let (sending, limits) = (&self.shared.sending, &self.shared.limits);
                let (sender, within) = (&self.caller.user, limits.give_up_after);
                let marks = self
                    .marks
                    .get_or_insert_with(|| Box::new(Marks::open(sending, sender.clone(), within)));
                marks.mark(id, room, mark).await
            }
            Ok(_) => vec![Marked::refused(id, &limited(Duration::from_millis(100)))],
            Err(error) => vec![Marked::refused(id, &error)],
        };
        answer_marks(marked, writer).await
    }

    /// It asks for the end of this device's login.
    fn is_own_logout(&self, request: &Request) -> bool {
        let Request::Logout { device } = request else { return false };
        device.as_ref().is_none_or(|device| *device == self.caller.device)
    }

    /// Ends the device's login and, where that is done, the session.
    async fn log_out(&mut self, id: u64, writer: &mut SocketWriter) -> Result<(), Ended> {
        let done = match self.check_limits(&Request::Logout { device: None }) {
            Ok(_) => {
                let token = self.caller.token.to_string();
                self.shared.bus.call(&Logout { token, ..Logout::default() }).await
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(_) => {
                writer.answer(id, &Reply::Done {}.to_frame()).await?;
                Err(Ended::LoggedOut)
            }
            Err(error) => writer.answer(id, &error_frame(&error)).await,
        }
    }

    async fn take(&mut self, id: u64, request: Request) -> Result<Option<Reply>, ApiError> {
        let unpaid = self.check_limits(&request)?;
        match request {
            Request::Send { room, client_id, body } => {
                let user = &self.caller.user;
                let room = room.unwrap_or_else(|| RoomId::of_creation(user, &client_id));
                let command = self.caller.command(room, (client_id, false), &body)?;
                self.outbox.send(id, command).await?;
            }
            Request::Ping if unpaid == 0 => {
                return Ok(Some(Reply::Pong { server_time: self.shared.now_ms() }));
            }
            Request::Ping => {
                let shared = Arc::clone(&self.shared);
                self.call(id, unpaid, async move {
                    Ok(Reply::Pong { server_time: shared.now_ms() }.to_frame())
                });
            }
            Request::Token { .. } if unpaid > 0 => {
                return Err(limited(Duration::from_millis(100)));
            }
            Request::Token { token } => return self.refresh(&token).await.map(Some),
            Request::Presence(request) => {
                if let Some(scope) = &self.caller.scope {
                    scope.check(presence::needs(&request))?;
                }
                let (presence, turn) = (Arc::clone(&self.presence), self.presence.turn(&request));
                self.call(id, unpaid, async move {
                    Ok(presence.answer(request, turn).await?.to_frame())
                });
            }
            Request::Setting(setting) => self.keep(id, unpaid, Body::Setting(setting)),
            Request::Draft(draft) => self.keep(id, unpaid, Body::Draft(draft)),
            Request::Relation(relation) => self.keep(id, unpaid, Body::Relation(relation)),
            Request::Profile(change) => {
                let (shared, token) = self.for_call();
                self.call(id, unpaid, async move {
                    let profile = shared.bus.call(&change.request(token)).await?.into();
                    Ok(ProfileFrame { profile }.to_frame())
                });
            }
            Request::Report { room, target, reason } => {
                let (shared, token) = self.for_call();
                let report = Report { token, room: room.to_string(), target, reason };
                self.call(id, unpaid, async move {
                    shared.bus.call(&report).await?;
                    Ok(Reply::Done {}.to_frame())
                });
            }
            Request::Typing { room } => {
                let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
                self.call(id, unpaid, async move {
                    shared.typing.tell(&shared.bus, &caller, room).await?;
                    Ok(Reply::Done {}.to_frame())
                });
            }
            Request::Logout { device: Some(device) } => {
                let (shared, token) = self.for_call();
                self.call(id, unpaid, async move {
                    let device = device.to_string();
                    shared.bus.call(&Logout { token, device }).await?;
                    Ok(Reply::Done {}.to_frame())
                });
            }
            Request::Push(push) => {
                let (shared, token) = self.for_call();
                self.call(id, unpaid, async move {
                    shared.life.members.check_push(&push)?;
                    shared.bus.call(&SetPush { token, push: Some(*push) }).await?;
                    Ok(Reply::Done {}.to_frame())
                });
            }
            Request::Unpush { device } => {
                let (shared, token) = self.for_call();
                let device = device.map(|device| device.to_string()).unwrap_or_default();
                self.call(id, unpaid, async move {
                    shared.bus.call(&RemovePush { token, device }).await?;
                    Ok(Reply::Done {}.to_frame())
                });
            }
            Request::Query(query) => {
                let (shared, token) = self.for_call();
                self.call(id, unpaid, async move { queries::answer(&shared, token, query).await });
            }
            // Their answers are written elsewhere: see `on_request`.
            Request::Logout { device: None } | Request::Mark { .. } => {
                return Err(ApiError::new(ErrorCode::Internal, "not handled"));
            }
            Request::Hello { .. } => {
                return Err(ApiError::new(ErrorCode::BadRequest, "hello was said already"));
            }
            Request::Link { room, wanted } => {
                let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
                let made = async move { links::make(&shared, &caller, room, wanted).await };
                self.call(id, unpaid, async move { Ok(made.await?.to_frame()) });
            }
            Request::Interact { room, told } => {
                let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
                self.call(id, unpaid, async move {
                    interactions::tell(&shared, &caller, room, *told).await
                });
            }
            Request::Answer { interaction, answer } => {
                let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
                let told = async move {
                    interactions::answer(&shared, &caller, interaction.0, answer).await
                };
                self.call(id, unpaid, told);
            }
            Request::Ask { room, ask } => self.ask(id, unpaid, room, Body::Ask(ask)),
            Request::Decline { room, decline } => {
                self.ask(id, unpaid, room, Body::Decline(decline));
            }
            Request::Unlink { room, unlink } => {
                let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
                let done = async move { links::take_back(&shared, &caller, room, unlink).await };
                self.call(id, unpaid, async move { Ok(done.await?.to_frame()) });
            }
        }
        Ok(None)
    }

    /// What the request still has to pay: 0 where that is done.
    ///
    /// Sends beyond their rate are refused. Other requests wait for theirs where few are unanswered:
    /// so who asks for one page after the other is never refused, and gets them as fast as it may.
    fn check_limits(&mut self, request: &Request) -> Result<u32, ApiError> {
        let limits = &self.shared.limits;
        let calls = self.calls.len() + self.calls_waiting.len();
        if self.unanswered_sends() + calls >= limits.in_flight_max as usize {
            let message = format!("more than {} requests are unanswered", limits.in_flight_max);
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after_ms(100));
        }
        if let Request::Send { .. } = request {
            return self.sends.take(1).map(|()| 0).map_err(limited);
        }
        let cost = cost::of_request(request);
        match self.others.take(cost) {
            Ok(()) => Ok(0),
            Err(wait) if calls >= CALLS_MAX => Err(limited(wait)),
            Err(_) => Ok(cost),
        }
    }

    async fn refresh(&mut self, token: &str) -> Result<Reply, ApiError> {
        let caller = self.shared.auth.verify(token).await?;
        let is_same = caller.user == self.caller.user && caller.device == self.caller.device;
        if !is_same || caller.scope != self.caller.scope {
            let message = "the token is of another user or device";
            return Err(ApiError::new(ErrorCode::Unauthorized, message));
        }
        self.shared.logins.check(&caller, Duration::ZERO).await?;
        self.expires_at = self.shared.expiry(&caller);
        self.token.set(Arc::clone(&caller.token));
        self.caller = caller;
        Ok(Reply::Token { expires_at: self.caller.expires_at_ms })
    }

    /// Has a command made about who asks to come into a group.
    fn ask(&mut self, id: u64, unpaid: u32, room: RoomId, body: Body) {
        let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
        let done = async move { links::ask(&shared, &caller, room, body).await };
        self.call(id, unpaid, async move { Ok(done.await?.to_frame()) });
    }

    fn for_call(&self) -> (Arc<Shared>, String) {
        (Arc::clone(&self.shared), self.caller.token.to_string())
    }

    /// Has a call made, when what is unpaid of it is paid. Its answer is paid by its length.
    fn call<F>(&mut self, id: u64, unpaid: u32, call: F)
    where
        F: Future<Output = Result<Vec<u8>, ApiError>> + Send + 'static,
    {
        let rate = Arc::clone(&self.others);
        let answer_by = Instant::now() + self.shared.limits.answer_within;
        let call = Box::pin(async move {
            // Where those before it took all of the time it is not begun.
            let in_time = async {
                rate.pay(unpaid).await;
                if Instant::now() < answer_by { call.await } else { Err(no_answer()) }
            };
            let answer = timeout_at(answer_by, in_time).await.unwrap_or_else(|_| Err(no_answer()));
            let frame = answer.unwrap_or_else(|error| error_frame(&error));
            rate.pay(cost::of_answer(frame.len())).await;
            (id, frame)
        });
        if self.calls.len() < CALLS_MAX {
            self.calls.push(call);
        } else {
            self.calls_waiting.push_back(call);
        }
    }

    /// The next answer. Cancel-safe.
    pub(super) async fn next_answer(&mut self) -> Next {
        tokio::select! {
            biased; // acks are what most clients wait for
            answer = self.outbox.next_answer() => Next::Sent(answer),
            answer = next_marked(&mut self.marks) => Next::Marked(answer),
            Some((id, frame)) = self.calls.next(), if !self.calls.is_empty() => {
                Next::Called(id, frame)
            }
        }
    }

    /// Hands an answer to the client.
    pub(super) async fn on_answer(
        &mut self,
        next: Next,
        writer: &mut SocketWriter,
    ) -> Result<(), Ended> {
        match next {
            Next::Called(id, frame) => {
                self.calls.extend(self.calls_waiting.pop_front());
                writer.answer(id, &frame).await
            }
            Next::Sent(sent) => {
                let told = self.outbox.on_answer(sent).await;
                answer(told, writer).await
            }
            Next::Marked(sent) => {
                let Some(marks) = &mut self.marks else { return Ok(()) };
                answer_marks(Box::pin(marks.on_answer(sent)).await, writer).await
            }
        }
    }
}

/// Hands the last words on sends to the client.
async fn answer(told: Vec<Told>, writer: &mut SocketWriter) -> Result<(), Ended> {
    for told in told {
        told.count();
        match told.outcome {
            Ok((frame, _)) => writer.answer(told.request_id, &frame).await?,
            Err(error) => writer.answer(told.request_id, &error_frame(&error)).await?,
        }
    }
    Ok(())
}

async fn next_marked(marks: &mut Option<Box<Marks>>) -> SendAnswer {
    match marks {
        Some(marks) => marks.next_answer().await,
        None => std::future::pending().await,
    }
}

/// Hands the answers to marks to the client.
async fn answer_marks(marked: Vec<Marked>, writer: &mut SocketWriter) -> Result<(), Ended> {
    for Marked { request_id, outcome } in marked {
        metrics::MARKS
            .increment(outcome.as_ref().map_or_else(|error| error.code.as_str(), |()| "ok"));
        let frame =
            outcome.map_or_else(|error| error_frame(&error), |()| Reply::Done {}.to_frame());
        writer.answer(request_id, &frame).await?;
    }
    Ok(())
}

/// Counts the refusal of a send.
fn count(error: &ApiError) {
    metrics::ACKS.increment(error.code.as_str());
}

fn limited(wait: Duration) -> ApiError {
    rate_limited("too many requests on this session", wait)
}
