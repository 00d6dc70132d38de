use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A host that answers each request by its path. Ends with the test's runtime.
async fn host<F, Fut>(answer: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(String, TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((LOCAL, 0)).await.expect("a port");
    let (addr, connections) =
        (listener.local_addr().expect("an address"), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&connections);
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                answer(String::from_utf8_lossy(&head).into_owned(), stream).await;
            });
        }
    });
    (addr, connections)
}

async fn say(mut stream: TcpStream, text: String) {
    let _ = stream.write_all(text.as_bytes()).await;
}

fn page(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

fn options(allowed: &[&str]) -> Options {
    let allowed = allowed.iter().map(|net| net.parse().expect("a net")).collect();
    Options {
        rules: Rules { allowed, ..Rules::default() },
        redirects_max: 3,
        roots: Roots::default(),
        connections: Connections::Short,
        patience: Duration::from_secs(2),
        user_agent: "test".into(),
    }
}

fn client(allowed: &[&str]) -> Outbound {
    Outbound::new(options(allowed)).expect("a client")
}

async fn get(client: &Outbound, url: &str) -> Result<Answer, Error> {
    client.send(Request::get(Url::parse(url).expect(url))).await
}

#[tokio::test]
async fn an_allowed_host_answers_and_gets_nothing_it_should_not() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let (addr, _) = host(move |head, stream| {
        seen.lock().expect("a lock").push(head);
        say(stream, page("hello"))
    })
    .await;
    let answer = get(&client(&["127.0.0.1/32"]), &format!("http://{addr}/a?b=c#secret"))
        .await
        .expect("an answer");
    assert_eq!((answer.status(), answer.content_type().as_str()), (StatusCode::OK, "text/html"));
    assert_eq!(answer.url().as_str(), format!("http://{addr}/a?b=c"));
    let body = answer.read(100).await.expect("a body");
    assert_eq!(body, Body { bytes: b"hello".into(), is_whole: true });
    let head = heads.lock().expect("a lock").pop().expect("a request").to_ascii_lowercase();
    let names: Vec<&str> =
        head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    assert!(head.starts_with("get /a?b=c http/1.1\r\n"), "{head}");
    assert!(names.iter().all(|name| ["host", "user-agent", "accept"].contains(name)), "{head}");
}

#[tokio::test]
async fn a_redirect_leads_to_no_private_address() {
    let (inside, connections) = host(|_, stream| say(stream, page("secret"))).await;
    let (addr, _) = host(move |head, stream| {
        let to = match head.split(' ').nth(1).unwrap_or_default() {
            "/address" => format!("http://{inside}/"),
            "/number" => format!("http://2130706433:{}/", inside.port()),
            "/name" => format!("http://localhost:{}/", inside.port()),
            "/mapped" => format!("http://[::ffff:127.0.0.1]:{}/", inside.port()),
            "/file" => "file:///etc/passwd".to_owned(),
            _ => "http://me:you@127.0.0.2/".to_owned(),
        };
        say(stream, redirect(&to))
    })
    .await;
    // What is asked first is let in by another address of the machine.
    let lookup: Lookup = Arc::new(|name: String| {
        let found = if name == "outside.example" { "127.0.0.9" } else { "127.0.0.1" };
        async move { Ok(vec![found.parse().expect("an address")]) }.boxed()
    });
    let outside = TcpListener::bind(("127.0.0.9", 0)).await.expect("a port");
    let port = outside.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = outside.accept().await {
            let Ok(mut to) = TcpStream::connect(addr).await else { return };
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
        }
    });
    let client = Outbound::with_lookup(options(&["127.0.0.9/32"]), lookup).expect("a client");
    for path in ["address", "number", "name", "mapped", "file", "credentials"] {
        let asked = get(&client, &format!("http://outside.example:{port}/{path}")).await;
        let refused = asked.expect_err(path);
        assert!(matches!(refused, Error::NotPublic | Error::Url(_)), "{path}: {refused}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_was_checked_is_what_is_connected_to() {
    let (inside, connections) = host(|_, stream| say(stream, page("secret"))).await;
    // The name means a public address first and a private one from then on.
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let found =
            if count.fetch_add(1, Ordering::SeqCst) == 0 { "203.0.113.1" } else { "127.0.0.1" };
        async move { Ok(vec![found.parse().expect("an address")]) }.boxed()
    });
    // Nobody is there: the connection can only fail.
    let mut options = options(&["203.0.113.1/32"]);
    options.patience = Duration::from_millis(200);
    let client = Outbound::with_lookup(options, lookup).expect("a client");
    let url = format!("http://rebinding.example:{}/", inside.port());
    let first = get(&client, &url).await.expect_err("nobody is there");
    assert!(matches!(first, Error::Timeout | Error::Transport(_)), "{first}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is looked up once for a connection");
    let second = get(&client, &url).await.expect_err("refused");
    assert!(matches!(second, Error::NotPublic), "{second}");
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn of_several_addresses_the_public_ones_are_left() {
    let (addr, _) = host(|_, stream| say(stream, page("hello"))).await;
    let lookup: Lookup = Arc::new(|_| {
        let found = ["10.0.0.1", "::1", "127.0.0.1", "169.254.169.254"];
        async move { Ok(found.map(|it| it.parse().expect("an address")).into()) }.boxed()
    });
    let client = Outbound::with_lookup(options(&["127.0.0.1/32"]), lookup).expect("a client");
    let answer = get(&client, &format!("http://several.example:{}/", addr.port())).await;
    assert_eq!(answer.expect("an answer").status(), StatusCode::OK);
}

#[tokio::test]
async fn redirects_end() {
    let (addr, connections) = host(|_, stream| say(stream, redirect("/again"))).await;
    let mut options = options(&["127.0.0.0/8"]);
    let client = Outbound::new(options.clone()).expect("a client");
    let looped = get(&client, &format!("http://{addr}/")).await.expect_err("refused");
    assert!(matches!(looped, Error::TooManyRedirects), "{looped}");
    assert_eq!(connections.load(Ordering::SeqCst), 4);
    options.redirects_max = 0;
    let client = Outbound::new(options).expect("a client");
    let answer = get(&client, &format!("http://{addr}/")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::FOUND);
}

#[tokio::test]
async fn a_body_ends_at_its_bound_and_at_its_deadline() {
    let (addr, _) = host(|head, mut stream| async move {
        let slow = head.starts_with("GET /slow");
        let open = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n";
        let _ = stream.write_all(open.as_bytes()).await;
        while stream.write_all(&[b'x'; 1_000]).await.is_ok() {
            if slow {
                std::future::pending::<()>().await;
            }
        }
    })
    .await;
    let mut options = options(&["127.0.0.0/8"]);
    options.patience = Duration::from_millis(300);
    let client = Outbound::new(options).expect("a client");
    let endless = get(&client, &format!("http://{addr}/endless")).await.expect("a head");
    let body = endless.read(10_000).await.expect("a part");
    assert_eq!((body.bytes.len(), body.is_whole), (10_000, false));
    let slow = get(&client, &format!("http://{addr}/slow")).await.expect("a head");
    assert!(matches!(slow.read(10_000).await, Err(Error::Timeout)));
}

#[tokio::test]
async fn a_host_that_says_nothing_is_left_at_the_deadline() {
    let (addr, _) = host(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let mut options = options(&["127.0.0.0/8"]);
    options.patience = Duration::from_millis(200);
    let client = Outbound::new(options).expect("a client");
    assert!(matches!(get(&client, &format!("http://{addr}/")).await, Err(Error::Timeout)));
}

#[tokio::test]
async fn what_is_packed_is_not_unpacked() {
    let (addr, _) = host(|_, stream| {
        say(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        )
    })
    .await;
    let answer = get(&client(&["127.0.0.0/8"]), &format!("http://{addr}/")).await.expect("a head");
    assert!(matches!(answer.read(100).await, Err(Error::Encoded)));
}
