use super::*;

fn announcer() -> Announcer {
    Announcer::new(NodeId::new("e").expect("id"), "boot".to_owned())
}

fn enter(announcer: &Announcer, device: &str) -> Visit {
    let user = UserId::new("alice").expect("id");
    announcer.enter(user, DeviceId::new(device).expect("id"), false)
}

/// What would be written now: the devices of each user, an idle one with a `-`.
fn written(announcer: &Announcer) -> Vec<String> {
    let (batch, announced) = announcer.take();
    announcer.settle(&batch, &announced, &[]);
    let device = |it: &DevicePresence| format!("{}{}", it.device, if it.idle { "-" } else { "" });
    let devices =
        |here: &EdgePresence| here.devices.iter().map(device).collect::<Vec<_>>().join(" ");
    batch.iter().map(|(user, here)| format!("{user}: {}", devices(here))).collect()
}

#[tokio::test(start_paused = true)]
async fn only_what_others_could_tell_is_written() {
    let announcer = announcer();
    let phone = enter(&announcer, "phone");
    assert_eq!(written(&announcer), ["alice: phone"]);
    // A second device changes nothing for others.
    let desk = enter(&announcer, "desk");
    assert!(written(&announcer).is_empty());
    phone.set_idle(true);
    assert!(written(&announcer).is_empty());
    desk.set_idle(true);
    assert_eq!(written(&announcer), ["alice: desk- phone-"]);
    drop(phone);
    assert!(written(&announcer).is_empty());
    // Whoever comes back at once was never gone.
    drop(desk);
    let desk = enter(&announcer, "desk");
    assert_eq!(written(&announcer), ["alice: desk"]);
    drop(desk);
    assert_eq!(written(&announcer), ["alice: "]);
    assert!(written(&announcer).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_choice_is_told_without_a_session_too() {
    let announcer = announcer();
    let user = UserId::new("alice").expect("id");
    announcer.choose(&user, PresenceSettings { at_ms: 7, ..PresenceSettings::default() });
    let (batch, announced) = announcer.take();
    assert_eq!(batch[0].1.chosen.as_ref().map(|chosen| chosen.at_ms), Some(7));
    assert!(batch[0].1.devices.is_empty() && !batch[0].1.logged_out);
    announcer.settle(&batch, &announced, &[]);
    assert!(written(&announcer).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_bucket_did_not_take_is_written_again() {
    let announcer = announcer();
    let phone = enter(&announcer, "phone");
    let (batch, announced) = announcer.take();
    announcer.settle(&batch, &announced, &[0]);
    let (again, announced) = announcer.take();
    assert_eq!((again.len(), again[0].1.number), (1, 2));
    // The session ends while the write is underway.
    drop(phone);
    announcer.settle(&again, &announced, &[]);
    assert_eq!(written(&announcer), ["alice: "]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_refreshed_before_it_expires() {
    let announcer = announcer();
    let _phone = enter(&announcer, "phone");
    assert_eq!(written(&announcer).len(), 1);
    tokio::time::advance(REFRESH_AFTER / 2).await;
    announcer.sweep();
    assert!(written(&announcer).is_empty());
    tokio::time::advance(REFRESH_AFTER).await;
    announcer.sweep();
    assert_eq!(written(&announcer), ["alice: phone"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_device_that_logs_out_says_so() {
    let announcer = announcer();
    let (phone, desk) = (enter(&announcer, "phone"), enter(&announcer, "desk"));
    written(&announcer);
    phone.log_out();
    drop(phone);
    assert!(written(&announcer).is_empty());
    desk.log_out();
    drop(desk);
    let (batch, _) = announcer.take();
    assert!(batch[0].1.logged_out && batch[0].1.devices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_went_back_is_told_everything_again() {
    let announcer = announcer();
    let bob = UserId::new("bob").expect("id");
    let _bob = announcer.enter(bob, DeviceId::new("desk").expect("id"), false);
    let phone = enter(&announcer, "phone");
    written(&announcer);
    phone.log_out();
    drop(phone);
    assert_eq!(written(&announcer), ["alice: "]);
    announcer.write_all_again();
    let (mut batch, announced) = announcer.take();
    announcer.settle(&batch, &announced, &[]);
    batch.sort_by(|a, b| a.0.cmp(&b.0));
    // What the older data says of Alice may be that she is here.
    assert!(batch[0].1.devices.is_empty() && batch[0].1.logged_out);
    assert_eq!((batch.len(), batch[1].1.devices.len()), (2, 1));
    assert!(batch.iter().all(|(_, here)| here.number > 3), "newer than all before");
    assert!(written(&announcer).is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_has_left_is_remembered_until_older_keys_have_expired() {
    let announcer = announcer();
    let phone = enter(&announcer, "phone");
    written(&announcer);
    drop(phone);
    assert_eq!(written(&announcer), ["alice: "]);
    tokio::time::advance(REMEMBER_LEFT - Duration::from_secs(1)).await;
    announcer.sweep();
    assert!(written(&announcer).is_empty(), "who has left is not refreshed");
    assert_eq!(announcer.lock().users.len(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    announcer.sweep();
    assert!(announcer.lock().users.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_device_is_attended_for_a_while_and_then_it_has_to_say_so_again() {
    let announcer = announcer();
    let attended = || {
        let (batch, announced) = announcer.take();
        announcer.settle(&batch, &announced, &[]);
        batch.into_iter().map(|(_, here)| here.attended).collect::<Vec<_>>()
    };
    let (desk, phone) = (enter(&announcer, "desk"), enter(&announcer, "phone"));
    assert_eq!(attended(), [false]);
    desk.set_attended(true);
    assert_eq!(attended(), [true]);
    phone.set_attended(false);
    assert_eq!(attended(), [false; 0], "one of them is");
    tokio::time::advance(ATTENDED_FOR - Duration::from_secs(1)).await;
    desk.set_attended(true);
    tokio::time::advance(ATTENDED_FOR - Duration::from_secs(1)).await;
    announcer.sweep();
    assert_eq!(attended(), [false; 0], "it was said again");
    tokio::time::advance(Duration::from_secs(1)).await;
    announcer.sweep();
    assert_eq!(attended(), [false]);
    desk.set_attended(true);
    assert_eq!(attended(), [true]);
    drop(desk);
    assert_eq!(attended(), [false], "its session has ended");
}
