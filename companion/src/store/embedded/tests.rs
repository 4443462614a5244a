use super::*;

fn key(subject: char, session: char) -> SessionKey {
    SessionKey {
        subject: subject.to_string().repeat(64),
        session: session.to_string().repeat(64),
    }
}

fn append(key: SessionKey, labels: &[&str], subject_labels: &[&str], ttl_s: Option<u64>) -> Append {
    let owned = |list: &[&str]| list.iter().map(|label| (*label).to_owned()).collect();
    Append {
        key,
        labels: owned(labels),
        subject_labels: owned(subject_labels),
        ttl_s,
    }
}

#[tokio::test]
async fn append_is_a_union_that_the_next_load_sees() {
    let directory = tempfile::tempdir().expect("directory");
    let store = EmbeddedStore::open(directory.path()).expect("opens");
    assert_eq!(
        store.load(&key('a', '1')).await.expect("loads"),
        Labels::default()
    );
    store
        .append(append(key('a', '1'), &["secret"], &[], None))
        .await
        .expect("appends");
    let union = store
        .append(append(key('a', '1'), &["pii", "secret"], &["watched"], None))
        .await
        .expect("appends");
    assert_eq!(union.session, ["pii", "secret"]);
    assert_eq!(union.subject, ["watched"]);
    assert_eq!(store.load(&key('a', '1')).await.expect("loads"), union);
}

#[tokio::test]
async fn session_labels_stay_in_their_session_and_subject_labels_in_their_subject() {
    let directory = tempfile::tempdir().expect("directory");
    let store = EmbeddedStore::open(directory.path()).expect("opens");
    store
        .append(append(key('a', '1'), &["secret"], &["watched"], None))
        .await
        .expect("appends");
    let other_session = store.load(&key('a', '2')).await.expect("loads");
    assert_eq!((other_session.session.len(), other_session.subject.len()), (0, 1));
    assert_eq!(
        store.load(&key('b', '1')).await.expect("loads"),
        Labels::default()
    );
}

#[tokio::test]
async fn a_subject_label_ends_and_a_repeat_extends_it() {
    let directory = tempfile::tempdir().expect("directory");
    let store = EmbeddedStore::open(directory.path()).expect("opens");
    let labels = store
        .append(append(key('a', '1'), &[], &["brief"], Some(0)))
        .await
        .expect("appends");
    assert!(labels.expires_at_ms.is_some());
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(
        store.load(&key('a', '1')).await.expect("loads"),
        Labels::default()
    );
    store
        .append(append(key('a', '1'), &[], &["brief"], Some(60)))
        .await
        .expect("appends");
    assert_eq!(
        store.load(&key('a', '1')).await.expect("loads").subject,
        ["brief"]
    );
    let forever = store
        .append(append(key('a', '1'), &[], &["brief"], None))
        .await
        .expect("appends");
    assert_eq!(forever.expires_at_ms, None);
}

#[tokio::test]
async fn refuses_keys_and_labels_out_of_contract_without_failing_others() {
    let directory = tempfile::tempdir().expect("directory");
    let store = EmbeddedStore::open(directory.path()).expect("opens");
    let short = SessionKey {
        subject: "a".to_owned(),
        session: "b".to_owned(),
    };
    assert!(matches!(store.load(&short).await, Err(StoreError::InvalidKey)));
    let long = "x".repeat(MAX_LABEL_BYTES + 1);
    for label in ["", long.as_str()] {
        assert!(matches!(
            store.append(append(key('a', '1'), &[label], &[], None)).await,
            Err(StoreError::InvalidLabel)
        ));
    }
    let many: Vec<String> = (0..=super::super::MAX_LABELS).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(
        store.append(append(key('a', '1'), &many, &[], None)).await,
        Err(StoreError::BucketFull)
    ));
    store
        .append(append(key('a', '1'), &["secret"], &[], None))
        .await
        .expect("still appends");
    assert!(store.healthy());
}

#[tokio::test]
async fn epoch_and_labels_survive_reopening_and_a_new_store_has_another_epoch() {
    let directory = tempfile::tempdir().expect("directory");
    let store = EmbeddedStore::open(directory.path()).expect("opens");
    store
        .append(append(key('a', '1'), &["secret"], &[], None))
        .await
        .expect("appends");
    assert!(matches!(
        EmbeddedStore::open(directory.path()),
        Err(OpenError::InUse(_))
    ));
    let epoch = store.epoch().to_owned();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).expect("opens again");
    assert_eq!(store.epoch(), epoch);
    assert_eq!(
        store.load(&key('a', '1')).await.expect("loads").session,
        ["secret"]
    );
    let other = tempfile::tempdir().expect("directory");
    assert_ne!(EmbeddedStore::open(other.path()).expect("opens").epoch(), epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_are_all_kept() {
    let directory = tempfile::tempdir().expect("directory");
    let store = Arc::new(EmbeddedStore::open(directory.path()).expect("opens"));
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .append(append(key('a', '1'), &[&format!("l{n:02}")], &[], None))
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("joins").expect("appends");
    }
    assert_eq!(store.load(&key('a', '1')).await.expect("loads").session.len(), 64);
}
