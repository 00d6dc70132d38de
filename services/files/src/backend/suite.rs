//! What each backend promises, tried on the real thing.

use futures_util::TryStreamExt;
use weft_proto::FileId;

use super::Backend;
use crate::signed::Variant::{Medium, Original, Small};

async fn bytes(
    backend: &dyn Backend,
    file: FileId,
    range: std::ops::Range<u64>,
) -> Option<Vec<u8>> {
    let stream = backend.read(file, Original, range).await.expect("read")?;
    let parts: Vec<_> = stream.try_collect().await.expect("bytes");
    Some(parts.concat())
}

pub(crate) async fn keeps_what_it_is_given(backend: &dyn Backend) {
    let folder = tempfile::tempdir().expect("a folder");
    let from = |content: &[u8]| {
        let path = folder.path().join(content.len().to_string());
        std::fs::write(&path, content).expect("written");
        path
    };
    let (first, second) = (FileId::from_parts(1, 7), FileId::from_parts(1, 8));
    assert_eq!(backend.size(first, Original).await.expect("size"), None);
    assert_eq!(bytes(backend, first, 0..1).await, None);
    backend.delete(first).await.expect("nothing to delete");

    // More than a part of any backend.
    let content: Vec<u8> =
        (0..11_000_001_u32).map(|number| (number.wrapping_mul(31) >> 3) as u8).collect();
    backend.put(first, Original, &from(&content)).await.expect("put");
    for variant in [Small, Medium] {
        backend.put(first, variant, &from(b"small")).await.expect("put");
    }
    backend.put(second, Original, &from(b"small")).await.expect("put");
    let size = content.len() as u64;
    assert_eq!(backend.size(first, Original).await.expect("size"), Some(size));
    assert_eq!(backend.size(first, Medium).await.expect("size"), Some(5));
    for range in [0..size, 0..1, 131_071..131_073, size - 1..size, 5_000_000..5_300_000] {
        let expected = &content[range.start as usize..range.end as usize];
        let read = bytes(backend, first, range.clone()).await.expect("there");
        assert!(read == expected, "{range:?}");
    }

    // Once more, after a crash before it was known that it had succeeded.
    backend.put(first, Original, &from(b"others")).await.expect("put");
    assert_eq!(backend.size(first, Original).await.expect("size"), Some(6));
    assert_eq!(bytes(backend, first, 0..6).await.as_deref(), Some(&b"others"[..]));

    backend.delete(first).await.expect("deleted");
    backend.delete(first).await.expect("deleted before");
    for variant in [Original, Small, Medium] {
        assert_eq!(backend.size(first, variant).await.expect("size"), None);
    }
    assert_eq!(bytes(backend, second, 0..5).await.as_deref(), Some(&b"small"[..]));
}
