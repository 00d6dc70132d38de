//! The limit's processes. Frame in → publish to a file stream → reader → one embedded-store group
//! commit with fsync → publish to a second stream → subscription → frame out. No JSON, no state, no
//! checks, no answers.

use std::net::SocketAddr;

use bytes::Bytes;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use weft_nats::{AssetOptions, Bus, IngestLog, IngestMessage, Subject, assets};
use weft_proto::{Partition, RoomId, UserId, partition_of};
use weft_storage::{Batch, Store};

use crate::commands::Partitions;
use crate::error::Error;
use crate::nats_login::NatsLogin;
use crate::process::{block_on, end_with_parent, node_name, say};
use crate::store::{StorePlace, store_place};

/// Messages of one commit.
const BATCH_MAX: usize = 512;
const BUFFER_BYTES: usize = 4 * 1024;

/// The limit's edge.
#[derive(Args, Clone, Debug)]
pub struct HopEdgeOptions {
    #[command(flatten)]
    nats: NatsLogin,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    node: String,
    #[command(flatten)]
    partitions: Partitions,
}

/// The limit's core.
#[derive(Args, Clone, Debug)]
pub struct HopCoreOptions {
    #[command(flatten)]
    nats: NatsLogin,
    #[arg(long, value_parser = store_place)]
    store: StorePlace,
    #[arg(long)]
    node: String,
    #[command(flatten)]
    partitions: Partitions,
}

/// Runs until it is killed.
pub fn run_edge(options: HopEdgeOptions) -> Result<(), Error> {
    end_with_parent()?;
    block_on(async move {
        let login = options.nats.bus_options("edge", &node_name(&options.node)?)?;
        let bus = Bus::connect(&login).await?;
        let listening = TcpListener::bind(options.listen).await;
        let listener = listening.map_err(Error::io("listening"))?;
        let address = listener.local_addr().map_err(Error::io("listening"))?;
        say(&format!("weft edge {} listens on http://{address}", options.node));
        loop {
            let (stream, _) = listener.accept().await.map_err(Error::io("accepting"))?;
            let (bus, partitions) = (bus.clone(), options.partitions.partitions);
            tokio::spawn(async move {
                // The measuring client sees every failure as a closed connection.
                if let Err(error) = serve(stream, bus, partitions).await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
    })
}

async fn serve(stream: TcpStream, bus: Bus, partitions: Partition) -> Result<(), Error> {
    stream.set_nodelay(true).map_err(Error::io("TCP"))?;
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let keep_path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let config =
        WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    let socket =
        tokio_tungstenite::accept_hdr_async_with_config(stream, keep_path, Some(config)).await;
    let socket = socket.map_err(|error| Error::Failed(error.to_string()))?;
    let mut words = path.split('/').skip(1);
    let mut word = || words.next().unwrap_or_default();
    let bad_id = |error: weft_proto::ApiError| Error::Failed(error.message);
    let is_sender = word() == "send";
    let user = UserId::new(word()).map_err(bad_id)?;
    let room = RoomId::new(word()).map_err(bad_id)?;
    if is_sender {
        frames_in(socket, &bus, Subject::In { sender: user, room }).await
    } else {
        let partition = partition_of(&room, partitions);
        frames_out(socket, &bus, &Subject::EventGroup { partition, room }).await
    }
}

async fn frames_in(
    mut socket: WebSocketStream<TcpStream>,
    bus: &Bus,
    subject: Subject,
) -> Result<(), Error> {
    while let Some(Ok(frame)) = socket.next().await {
        if frame.is_text() {
            bus.publish(&subject, &[], frame.into_data()).await?;
        }
    }
    Ok(())
}

async fn frames_out(
    mut socket: WebSocketStream<TcpStream>,
    bus: &Bus,
    subject: &Subject,
) -> Result<(), Error> {
    let failed = |error: tokio_tungstenite::tungstenite::Error| Error::Failed(error.to_string());
    let mut events = bus.subscribe(subject).await?;
    bus.flush().await?;
    socket.send(Message::text("ready")).await.map_err(failed)?;
    while let Some(event) = events.next().await {
        let mut event = Some(event);
        while let Some(message) = event {
            socket.feed(text_frame(message.into_payload())?).await.map_err(failed)?;
            event = events.try_next();
        }
        socket.flush().await.map_err(failed)?;
    }
    Ok(())
}

fn text_frame(bytes: Bytes) -> Result<Message, Error> {
    let text = Utf8Bytes::try_from(bytes).map_err(|error| Error::Failed(error.to_string()))?;
    Ok(Message::Text(text))
}

/// Runs until it is killed.
pub fn run_core(options: HopCoreOptions) -> Result<(), Error> {
    end_with_parent()?;
    block_on(async move {
        let login = options.nats.bus_options("core", &node_name(&options.node)?)?;
        let opened = options.store.open()?;
        let store = opened.store.clone();
        let bus = Bus::connect(&login).await?;
        let partitions = options.partitions.partitions;
        assets::ensure(&bus, &AssetOptions { partitions, ..AssetOptions::default() }).await?;
        let mut workers = tokio::task::JoinSet::new();
        for partition in 0..partitions {
            workers.spawn(work(bus.clone(), store.clone(), partition));
        }
        say(&format!("weft core {} is ready: {partitions} partitions", options.node));
        match workers.join_next().await {
            Some(Ok(ended)) => ended,
            _ => Err(Error::Failed("a worker ended".to_owned())),
        }
    })
}

async fn work(bus: Bus, store: Store, partition: Partition) -> Result<(), Error> {
    let mut reader = IngestLog::open(&bus, partition).read_from(1, 0).await?;
    loop {
        let mut messages = vec![reader.next().await?];
        while messages.len() < BATCH_MAX
            && let Some(message) = reader.try_next()?
        {
            messages.push(message);
        }
        let mut batch = Batch::new(rand::random());
        batch.set_replayable(true);
        for message in &messages {
            batch.set(key(partition, message), message.payload.clone());
        }
        store.commit(batch).await?;
        for message in messages {
            let room = RoomId::new(&message.room).map_err(|error| Error::Failed(error.message))?;
            bus.publish(&Subject::EventGroup { partition, room }, &[], message.payload).await?;
        }
    }
}

fn key(partition: Partition, message: &IngestMessage) -> Bytes {
    let mut key = Vec::with_capacity(10);
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(&message.stream_seq.to_be_bytes());
    key.into()
}
