use super::*;

#[tokio::test]
async fn a_checkpoint_is_kept_and_a_damaged_store_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let views = dir.path().join("views");
    let checkpoint = Checkpoint::open(&views).await;
    assert_eq!(checkpoint.get(), None);
    checkpoint.set(Position::new(77));
    drop(checkpoint);
    let checkpoint = Checkpoint::open(&views).await;
    assert_eq!(checkpoint.get(), Some(Position::new(77)));
    drop(checkpoint);

    std::fs::write(views.join("conf"), b"nothing that sled has written").unwrap();
    let checkpoint = Checkpoint::open(&views).await;
    assert_eq!(checkpoint.get(), None, "reactions begin at the beginning");
    checkpoint.set(Position::new(5));
    assert_eq!(checkpoint.get(), Some(Position::new(5)));
}
