//! What edges ask core: the services that ship, on the simulated store. A call is answered from one
//! snapshot, in one moment; request and answer take their time, and get lost.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use weft_core::services::audit::{self, AuditLimit};
use weft_core::services::{Caller, Context, Failure, Login};
use weft_proto::svc::{
    Audit, AuditPage, ListGroups, Method, ReadLog, Sync, decode_reply, decode_request,
    encode_reply, encode_request,
};
use weft_proto::{ApiError, DeviceId, ErrorCode, StoreId, UserId};
use weft_runtime::ManualClock;
use weft_storage::memory::Memory;
use weft_storage::tables::device::{self, Device};
use weft_storage::tables::layout;
use weft_storage::{Batch, Engine, Error, Outcome, Snapshot, Store};

use super::schedule::{STORE_ID, layout_row};
use super::store::now;
use super::world::{START_MS, World};

thread_local! {
    /// The store of the schedule that this thread plays.
    static STORE: RefCell<Memory> = RefCell::default();
    static SERVICES: OnceCell<Rc<Services>> = const { OnceCell::new() };
}

/// Tokens cost a lot to make and to verify; so one context serves all schedules of a thread.
pub struct Services {
    pub context: Context,
    tokens: RefCell<Vec<(UserId, String)>>,
}

/// The store of the schedule that runs.
struct Current;

#[async_trait]
impl Engine for Current {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        let memory = STORE.with_borrow(Clone::clone);
        memory.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        let memory = STORE.with_borrow(Clone::clone);
        memory.commit(batch).await
    }
}

fn services() -> Rc<Services> {
    SERVICES.with(|services| {
        let open = || {
            // The signing key does not go into the schedule's store: the next one would lack it.
            let memory = Memory::new();
            let mut batch = Batch::new([0; 16]);
            batch.set(layout::key(), layout_row(1));
            now(memory.commit(batch));
            let of_schedule = STORE.replace(memory);
            let clock = Arc::new(ManualClock::new(START_MS));
            let life = std::time::Duration::from_secs(1_000_000);
            let opening = Context::open(Store::new(Current), clock, life);
            let context = opening.now_or_never().expect("the model never waits").expect("opens");
            STORE.set(of_schedule);
            Rc::new(Services { context, tokens: RefCell::default() })
        };
        Rc::clone(services.get_or_init(open))
    })
}

impl Services {
    pub fn token(&self, user: &UserId) -> String {
        let device = DeviceId::new("d").expect("device");
        keep_login(user, &device);
        let mut tokens = self.tokens.borrow_mut();
        if let Some((_, token)) = tokens.iter().find(|(known, _)| known == user) {
            return token.clone();
        }
        let caller = Caller::person(user.clone(), device, Login::MadeAt(START_MS));
        let token = self.context.tokens().issue(&caller).expect("a token").0;
        tokens.push((user.clone(), token.clone()));
        token
    }
}

/// The device has logged in, in the schedule's store too.
fn keep_login(user: &UserId, device: &DeviceId) {
    let login = Device { refresh_hash: vec![1], login_ms: START_MS, ..Device::default() };
    let mut batch = Batch::new([0; 16]);
    batch.guard(device::key(user, device), None);
    batch.set(device::key(user, device), login.encode());
    now(STORE.with_borrow(Clone::clone).commit(batch));
}

/// From now on the services of this thread speak of this store.
pub fn speak_of(memory: &Memory) {
    STORE.set(memory.clone());
}

pub fn token(user: &UserId) -> String {
    services().token(user)
}

/// Codes by which core says no to somebody.
pub fn is_no(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NotMember | ErrorCode::NoSuchRoom | ErrorCode::Forbidden)
}

/// What core answers an edge.
pub fn answer<M: Method>(world: &World, request: &M) -> Result<M::Reply, ApiError> {
    let (context, request) = (&services().context, encode_request(request));
    let reply = match M::METHOD {
        ListGroups::METHOD => reply(&request, |ask| context.groups(ask)),
        Sync::METHOD => reply(&request, |ask| context.sync(ask)),
        ReadLog::METHOD => reply(&request, |ask| context.log_read(ask)),
        Audit::METHOD => reply(&request, |ask| audit(world, ask)),
        other => unreachable!("nobody asks for {other}"),
    };
    decode_reply(&reply)
}

fn reply<M: Method, F>(request: &[u8], call: impl FnOnce(M) -> F) -> Vec<u8>
where
    F: Future<Output = Result<M::Reply, Failure>>,
{
    let request = decode_request(request).expect("a request");
    let answer = call(request).now_or_never().expect("the model never waits");
    encode_reply(&answer.map_err(|failure| match failure {
        Failure::Refused(error) => error,
        Failure::Store(error) => ApiError::new(ErrorCode::Unavailable, error.to_string()),
    }))
}

/// In small pages: what is audited in several answers counts with the last one.
async fn audit(world: &World, ask: Audit) -> Result<AuditPage, Failure> {
    let limit = AuditLimit { rows_max: world.config.audit_rows, ..AuditLimit::default() };
    let partition = ask.partition.try_into().expect("a partition");
    let snapshot = world.memory.snapshot().await?;
    let page = audit::audit(&*snapshot, StoreId(STORE_ID), partition, ask.since, limit).await?;
    if page.unknown {
        world.violate("core can't tell what changed".into());
    }
    Ok(page)
}
