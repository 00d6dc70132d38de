//! Jobs of push nodes: nobody's are kept out by another one's.

use bytes::Bytes;
use weft_nats::jobs::{self, JobReader, Lane, USER_JOBS_MAX};

use crate::common::{Fixture, soon, user};

#[tokio::test]
async fn a_user_whose_jobs_wait_fills_no_place_of_others() {
    let fixture = Fixture::new(1).await;
    fixture.bus("core", "c").await;
    let bus = fixture.bus("push", "p").await;
    let put = async |who: &str, number: usize| {
        let (user, id) = (user(who), format!("{who}/{number}"));
        jobs::put(&bus, Lane::Rest, &user, &id, Bytes::from(id.clone())).await.expect("answered")
    };
    for number in 0..USER_JOBS_MAX {
        assert!(put("eve", number).await, "{number}");
    }
    assert!(!put("eve", USER_JOBS_MAX).await, "as many wait as may");
    assert!(put("eve", 0).await, "it is known from before");
    assert!(put("alice", 0).await);
    // What is done makes a place again.
    let mut reader = JobReader::new(&bus, Lane::Rest);
    let first = soon("a job", reader.next()).await;
    assert_eq!(first.payload(), "eve/0");
    first.done().await.expect("done");
    assert!(put("eve", USER_JOBS_MAX).await);
}
