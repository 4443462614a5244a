//! The laws of [`CaseStore`], held against every implementation.

use std::sync::Arc;

use super::{CaseStore, Change, Changed};

/// A change of one document that is listed in `g:1`.
pub(crate) fn change(key: &str, expected: u64, text: &str, ends_ms: u64) -> Change {
    Change {
        key: key.to_owned(),
        expected,
        text: text.to_owned(),
        groups: vec!["g:1".to_owned()],
        ends_ms,
        room: None,
    }
}

/// `base`: milliseconds that every time here is after, for a store that goes by a clock of its own.
pub(crate) async fn laws(store: Arc<dyn CaseStore>) {
    let base = crate::clock::now_ms();
    of_two_changes_to_one_version_one_wins(&store, base).await;
    what_has_ended_is_not_found_and_can_be_made_anew(&store, base).await;
    a_group_has_no_more_members_than_its_room(&store, base).await;
    groups_are_replaced_with_the_document(&store, base).await;
    names_out_of_contract_are_refused(&store, base).await;
}

async fn of_two_changes_to_one_version_one_wins(store: &Arc<dyn CaseStore>, base: u64) {
    let end = base + 60_000;
    assert_eq!(store.get("one", base).await, Ok(None));
    assert_eq!(
        store.change(change("one", 0, "a", end), base).await,
        Ok(Changed::Done)
    );
    assert_eq!(
        store.change(change("one", 0, "b", end), base).await,
        Ok(Changed::Conflict)
    );
    let (mut tasks, mut won) = (Vec::new(), 0);
    for at in 0..8 {
        let store = Arc::clone(store);
        tasks.push(tokio::spawn(async move {
            store.change(change("one", 1, &format!("t{at}"), end), base).await
        }));
    }
    for task in tasks {
        if task.await.expect("ends") == Ok(Changed::Done) {
            won += 1;
        }
    }
    assert_eq!(won, 1);
    assert_eq!(
        store
            .get("one", base)
            .await
            .expect("reads")
            .map(|held| held.version),
        Some(2)
    );
}

async fn what_has_ended_is_not_found_and_can_be_made_anew(store: &Arc<dyn CaseStore>, base: u64) {
    store
        .change(change("brief", 0, "a", base + 1000), base)
        .await
        .expect("writes");
    assert_eq!(store.get("brief", base + 1000).await, Ok(None));
    assert!(
        !store
            .members("g:1", base + 1000)
            .await
            .expect("lists")
            .contains(&"brief".to_owned())
    );
    let anew = store
        .change(change("brief", 0, "b", base + 90_000), base + 1000)
        .await;
    assert_eq!(anew, Ok(Changed::Done));
    let held = store
        .get("brief", base + 1001)
        .await
        .expect("reads")
        .expect("is there");
    assert_eq!((held.version, held.text.as_str()), (1, "b"));
}

async fn a_group_has_no_more_members_than_its_room(store: &Arc<dyn CaseStore>, base: u64) {
    let roomed = |key: &str, expected| Change {
        groups: vec!["r:1".to_owned()],
        room: Some(("r:1".to_owned(), 2)),
        ..change(key, expected, "a", base + 60_000)
    };
    assert_eq!(store.change(roomed("r1", 0), base).await, Ok(Changed::Done));
    assert_eq!(store.change(roomed("r2", 0), base).await, Ok(Changed::Done));
    assert_eq!(store.change(roomed("r3", 0), base).await, Ok(Changed::Full));
    assert_eq!(store.change(roomed("r2", 1), base).await, Ok(Changed::Done));
    let mut members = store.members("r:1", base).await.expect("lists");
    members.sort();
    assert_eq!(members, ["r1", "r2"]);
    // Members that have ended take no room.
    assert_eq!(store.members("r:1", base + 60_000).await, Ok(Vec::new()));
}

async fn groups_are_replaced_with_the_document(store: &Arc<dyn CaseStore>, base: u64) {
    let end = base + 60_000;
    store
        .change(change("moving", 0, "a", end), base)
        .await
        .expect("writes");
    assert!(
        store
            .members("g:1", base)
            .await
            .expect("lists")
            .contains(&"moving".to_owned())
    );
    let gone = Change {
        groups: Vec::new(),
        ..change("moving", 1, "b", end)
    };
    store.change(gone, base).await.expect("writes");
    assert!(
        !store
            .members("g:1", base)
            .await
            .expect("lists")
            .contains(&"moving".to_owned())
    );
}

async fn names_out_of_contract_are_refused(store: &Arc<dyn CaseStore>, base: u64) {
    for key in ["", "a b", "a\n", "{x}", &"k".repeat(129)] {
        assert!(
            store
                .change(change(key, 0, "a", base + 1000), base)
                .await
                .is_err(),
            "{key:?}"
        );
    }
    let long = "x".repeat(super::MAX_CASE_BYTES + 1);
    assert!(
        store
            .change(change("long", 0, &long, base + 1000), base)
            .await
            .is_err()
    );
}
