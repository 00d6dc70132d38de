//! A note is on an entry of the room, which may be planned and not yet committed.

use weft_proto::Body;
use weft_proto::kind::Note;
use weft_storage::Batch;
use weft_storage::tables::account::{self, Account};

use crate::create;
use crate::support::{World, grown, id, text, user_id};

fn note(on: u64) -> Body {
    Body::Note(Note { on, text: "nice".into() })
}

#[tokio::test]
async fn a_note_is_on_an_entry_that_is_there_or_planned_and_of_a_person() {
    let world = World::new(&["ann", "bot"]).await;
    let mut batch = Batch::new([5; 16]);
    let bot = Account { is_bot: true, ..Account::default() };
    batch.set(account::key(&user_id("bot")), bot.encode());
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    assert_eq!(world.send("ann", "team", Some(id(1)), &create(&["bot"])).await["seq"], 1);
    assert_eq!(world.send("ann", "team", Some(id(2)), &note(1)).await["seq"], 2);
    let code = async |sender, number, on| {
        let answer = world.send(sender, "team", Some(id(number)), &note(on)).await;
        answer["error"]["code"].as_str().map(str::to_owned)
    };
    assert_eq!(code("ann", 3, 9).await.as_deref(), Some("not_found"));
    assert_eq!(code("bot", 4, 1).await.as_deref(), Some("forbidden"));
    // While a commit is underway that nobody can look up.
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let underway = world.publish("ann", "team", Some(id(5)), &text("underway"));
    grown(&world.engine.commits, before).await;
    let planned = world.publish("ann", "team", Some(id(6)), &text("planned"));
    let on_underway = world.publish("ann", "team", Some(id(7)), &note(3));
    let on_planned = world.publish("ann", "team", Some(id(8)), &note(4));
    world.gate(true);
    for (answer, seq) in [(underway, 3), (planned, 4), (on_underway, 5), (on_planned, 6)] {
        assert_eq!(world.bus.answer_to(&answer).await["seq"], seq);
    }
    owner.leave().await.expect("leave");
}
