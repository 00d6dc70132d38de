use weft_proto::{ErrorCode, svc};
use weft_storage::tables::push_endpoint;

use super::super::testing::{World, code};
use super::*;

async fn with_users() -> World {
    let world = World::new().await;
    for name in ["alice", "bob"] {
        let (user, password) = (name.into(), "hunter22".into());
        let signup = svc::Signup { user, password, ..svc::Signup::default() };
        world.context.signup(signup).await.expect("signup");
    }
    world
}

async fn login(world: &World, user: &str, device: &str) -> String {
    let (user, password) = (user.into(), "hunter22".into());
    let login = svc::Login { user, password, device: device.into(), ..svc::Login::default() };
    world.context.login(login).await.expect("login").token
}

async fn set(world: &World, token: &str, address: &str) -> Result<svc::Empty, Failure> {
    let push = svc::Push {
        kind: "webhook".into(),
        address: address.into(),
        secret: vec![7; 32],
        ..svc::Push::default()
    };
    let request = svc::SetPush { token: token.into(), push: Some(push) };
    world.context.push_set(request).await
}

/// The addresses at which a user's devices are notified.
async fn at(world: &World, user: &str) -> Vec<(String, String)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let user = UserId::new(user).expect("id");
    let good = of_user(&*snapshot, &user).await.expect("read");
    good.into_iter().map(|(device, row)| (device.to_string(), row.address)).collect()
}

fn pair(device: &str, address: &str) -> (String, String) {
    (device.into(), address.into())
}

const ONE: &str = "https://push.example/1";
const TWO: &str = "https://push.example/2";

#[tokio::test]
async fn what_comes_again_replaces_what_was_there() {
    let world = with_users().await;
    let phone = login(&world, "alice", "phone").await;
    let tablet = login(&world, "alice", "tablet").await;
    assert_eq!(code(set(&world, &phone, "http://push.example/").await), ErrorCode::BadRequest);
    set(&world, &phone, ONE).await.expect("set");
    set(&world, &phone, ONE).await.expect("again");
    set(&world, &phone, TWO).await.expect("another one");
    set(&world, &tablet, ONE).await.expect("a second device");
    assert_eq!(at(&world, "alice").await, [pair("phone", TWO), pair("tablet", ONE)]);
    // The device was handed on, and its browser has the address that it had.
    let bob = login(&world, "bob", "laptop").await;
    set(&world, &bob, TWO).await.expect("set");
    assert_eq!(at(&world, "alice").await, [pair("tablet", ONE)]);
    assert_eq!(at(&world, "bob").await, [pair("laptop", TWO)]);
}

#[tokio::test]
async fn a_registration_ends_with_its_login_and_by_its_users_word() {
    let world = with_users().await;
    let phone = login(&world, "alice", "phone").await;
    set(&world, &phone, ONE).await.expect("set");
    let again = login(&world, "alice", "phone").await;
    assert_eq!(at(&world, "alice").await, [], "the login that made it has ended");
    set(&world, &again, ONE).await.expect("set");
    assert_eq!(at(&world, "alice").await, [pair("phone", ONE)]);
    let list = svc::ListDevices { token: again.clone() };
    let devices = world.context.devices(list).await.expect("devices").devices;
    let push = devices[0].push.clone().expect("a push");
    assert_eq!((push.address.as_str(), push.secret.as_slice()), (ONE, &[][..]));
    let tablet = login(&world, "alice", "tablet").await;
    let remove = async |token: &str, device: &str| {
        let request = svc::RemovePush { token: token.into(), device: device.into() };
        world.context.push_remove(request).await
    };
    assert_eq!(code(remove(&tablet, "").await), ErrorCode::NotFound);
    remove(&tablet, "phone").await.expect("removed");
    assert_eq!(code(remove(&again, "").await), ErrorCode::NotFound);
    assert_eq!(at(&world, "alice").await, []);
    let snapshot = world.store.snapshot().await.expect("snapshot");
    assert_eq!(snapshot.get(push_endpoint::key(ONE)).await.expect("read"), None);
}
