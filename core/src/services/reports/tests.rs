//! Who reports what, how often, and who sees it.

use weft_proto::Body;
use weft_proto::History;
use weft_proto::kind::Delete;

use super::super::testing::{World, code, create, text};
use super::*;

async fn world() -> World {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    world.one("team", "alice", text("bad")).await;
    world
}

async fn report(world: &World, by: &str, target: u64) -> Result<svc::Empty, Failure> {
    let (token, room, reason) = (world.token(by), "team".to_owned(), "spam".to_owned());
    world.context.report(svc::Report { token, room, target, reason }).await
}

async fn listed(world: &World) -> Vec<(String, String, u64, String)> {
    let page = world.context.reports(Authority::Operator, svc::ListReports::default()).await;
    let rows = page.expect("listed").reports.into_iter();
    rows.map(|it| (it.id, it.by, it.target, it.from)).collect()
}

async fn resolve(world: &World, id: &str) -> Result<svc::Empty, Failure> {
    let request = svc::ResolveReport { id: id.into(), ..svc::ResolveReport::default() };
    world.context.resolve_report(Authority::Operator, request).await
}

#[tokio::test]
async fn a_member_reports_a_message_once_and_it_is_dealt_with() {
    let world = world().await;
    for _ in 0..2 {
        report(&world, "bob", 2).await.expect("reported");
    }
    let id = "bob.team.2".to_owned();
    assert_eq!(listed(&world).await, [(id.clone(), "bob".into(), 2, "alice".into())]);
    resolve(&world, &id).await.expect("dealt with");
    assert_eq!(listed(&world).await, []);
    assert_eq!(code(resolve(&world, &id).await), ErrorCode::NotFound);
    for bad in ["", "bob", "bob.team", "bob.team.x"] {
        assert_eq!(code(resolve(&world, bad).await), ErrorCode::BadRequest, "{bad}");
    }
    let log = world.context.admin_log(Authority::Operator, svc::ReadAdminLog::default()).await;
    let log = log.expect("the log").rows;
    let told: Vec<_> = log.iter().map(|it| (&*it.action, &*it.user, &*it.room, it.seq)).collect();
    assert_eq!(told, [("resolve_report", "bob", "team", 2)]);
}

#[tokio::test]
async fn nobody_reports_what_they_do_not_see_or_what_is_no_message() {
    let mut world = world().await;
    assert_eq!(code(report(&world, "carol", 2).await), ErrorCode::NoSuchRoom);
    assert_eq!(code(report(&world, "bob", 1).await), ErrorCode::NotFound, "no message");
    assert_eq!(code(report(&world, "bob", 9).await), ErrorCode::NotFound);
    let (token, room) = (world.token("bob"), "team".to_owned());
    let blank = svc::Report { token, room, target: 2, reason: " ".into() };
    assert_eq!(code(world.context.report(blank).await), ErrorCode::BadRequest);
    let list = svc::ListReports { token: world.token("bob"), ..svc::ListReports::default() };
    assert_eq!(code(world.context.reports(Authority::Token, list).await), ErrorCode::Forbidden);
    world.one("team", "alice", Body::Delete(Delete::of(2))).await;
    assert_eq!(listed(&world).await, []);
}

#[tokio::test]
async fn so_many_of_a_user_wait_and_no_more() {
    let mut world = world().await;
    for _ in 0..REPORTS_PER_USER_MAX {
        world.one("team", "alice", text("bad")).await;
    }
    let last = 2 + REPORTS_PER_USER_MAX as u64;
    for target in 2..last {
        report(&world, "bob", target).await.expect("reported");
    }
    assert_eq!(code(report(&world, "bob", last).await), ErrorCode::LimitReached);
    report(&world, "bob", 2).await.expect("it is there already");
    report(&world, "alice", last).await.expect("others have their own");
    resolve(&world, "bob.team.2").await.expect("dealt with");
    report(&world, "bob", last).await.expect("there is room");
}
