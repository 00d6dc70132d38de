/// The output of a future that may not be there: without one it waits for ever. Cancel-safe where the
/// future is, so an arm of a `select!` may wait for what is not always underway.
pub async fn when_some<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
