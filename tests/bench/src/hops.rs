//! The limit's processes. Frame in → publish to a file stream → reader → one embedded-store group
//! commit with fsync → publish to a second stream → subscription → frame out. No JSON, no state, no
//! checks, no answers.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use weft_nats::{AssetOptions, Bus, BusOptions, IngestLog, IngestMessage, Subject, assets};
use weft_proto::{NodeId, Partition, RoomId, UserId, partition_of};
use weft_storage::embedded::Embedded;
use weft_storage::{Batch, Store};

/// Messages of one commit.
const BATCH_MAX: usize = 512;
const BUFFER_BYTES: usize = 4 * 1024;

#[derive(Args, Clone, Debug)]
pub struct HopOptions {
    #[arg(long)]
    nats: String,
    #[arg(long)]
    node: String,
    #[arg(long)]
    partitions: u16,
}

#[derive(Args, Clone, Debug)]
pub struct HopEdgeOptions {
    #[command(flatten)]
    hop: HopOptions,
    #[arg(long)]
    listen: SocketAddr,
}

#[derive(Args, Clone, Debug)]
pub struct HopCoreOptions {
    #[command(flatten)]
    hop: HopOptions,
    /// A folder.
    #[arg(long)]
    store: PathBuf,
}

impl HopOptions {
    async fn connect(&self, role: &'static str) -> Result<Bus> {
        let options = BusOptions {
            url: self.nats.clone(),
            user: role.to_owned(),
            password: std::env::var("WEFT_NATS_PASSWORD").context("WEFT_NATS_PASSWORD")?,
            role,
            node: NodeId::new(&self.node).map_err(|error| anyhow!(error.message))?,
        };
        Ok(Bus::connect(&options).await?)
    }
}

impl HopCoreOptions {
    fn store(&self) -> Result<Store> {
        Ok(Store::new(Embedded::open(&self.store)?))
    }

    fn assets(&self) -> AssetOptions {
        AssetOptions { partitions: self.hop.partitions, ..AssetOptions::default() }
    }
}

pub async fn run_edge(options: HopEdgeOptions) -> Result<()> {
    let bus = options.hop.connect("edge").await?;
    let listener = TcpListener::bind(options.listen).await?;
    println!("the hop is ready");
    loop {
        let (stream, _) = listener.accept().await?;
        let (bus, partitions) = (bus.clone(), options.hop.partitions);
        tokio::spawn(async move {
            // The measuring client sees every failure as a closed connection.
            if let Err(error) = serve(stream, bus, partitions).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
}

async fn serve(stream: TcpStream, bus: Bus, partitions: Partition) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let keep_path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let config =
        WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    let socket = accept_hdr_async_with_config(stream, keep_path, Some(config)).await?;
    let mut words = path.split('/').skip(1);
    let mut word = || words.next().unwrap_or_default();
    let bad_id = |error: weft_proto::ApiError| anyhow!(error.message);
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
) -> Result<()> {
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
) -> Result<()> {
    let mut events = bus.subscribe(subject).await?;
    bus.flush().await?;
    socket.send(Message::text("ready")).await?;
    while let Some(event) = events.next().await {
        let mut event = Some(event);
        while let Some(message) = event {
            socket.feed(Message::Text(Utf8Bytes::try_from(message.into_payload())?)).await?;
            event = events.try_next();
        }
        socket.flush().await?;
    }
    Ok(())
}

pub async fn run_core(options: HopCoreOptions) -> Result<()> {
    let bus = options.hop.connect("core").await?;
    let store = options.store()?;
    assets::ensure(&bus, &options.assets()).await?;
    let mut workers = JoinSet::new();
    for partition in 0..options.hop.partitions {
        workers.spawn(work(bus.clone(), store.clone(), partition));
    }
    println!("the hop is ready");
    workers.join_next().await.context("no partitions")??
}

async fn work(bus: Bus, store: Store, partition: Partition) -> Result<()> {
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
            let room = RoomId::new(&message.room).map_err(|error| anyhow!(error.message))?;
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
