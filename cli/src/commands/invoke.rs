//! `flint invoke`: call a function and print its answer.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
};

use clap::builder::PossibleValuesParser;
use http::{HeaderName, HeaderValue, Method};
use tokio::time::Instant;

use super::Context;
use crate::{
    args::{Format, Global},
    cluster::{Cluster, innermost},
    error::Error,
    events,
    gateway::Gateway,
    invoke::{
        answer::Answer,
        local::Local,
        payload::{self, LIMIT},
        show::{self, Shown},
    },
    output::{DIM, Output},
    waiting,
};

/// Its arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The answer goes to standard output: laid out on a terminal, byte for byte elsewhere. All else goes to standard error.
The exit code is 1 when the function failed: it raised, crashed, ran out of time, or answered 5xx.

Examples:
  flint invoke hello -d '{\"name\": \"Ada\"}'
  flint invoke hello -f event.json -l                  with the end of its log
  flint invoke thumbnail --event s3-put --set key=cat.jpg
  flint invoke hello --http GET '/greet?name=Ada' -H 'Accept: text/plain'
  echo '{}' | flint invoke hello - --local             on this machine, without a cluster")]
pub struct Args {
    /// The function
    function: String,
    /// `-`: the payload comes on standard input
    #[arg(value_name = "-", value_parser = PossibleValuesParser::new(["-"]), hide_possible_values = true)]
    stdin: Option<String>,
    /// The payload: JSON, or - for standard input; {} if not given
    #[arg(short, long, value_name = "JSON", conflicts_with_all = ["stdin", "file", "event"])]
    data: Option<String>,
    /// The payload: what this file holds
    #[arg(short, long, conflicts_with = "stdin")]
    file: Option<PathBuf>,
    /// The payload: a sample event, such as s3-put; `flint event ls` lists them
    #[arg(long, value_name = "NAME", conflicts_with_all = ["stdin", "file", "http"])]
    event: Option<String>,
    /// Set a field of the sample event: key=cat.jpg
    #[arg(long, value_name = "FIELD=VALUE", requires = "event", value_parser = field)]
    set: Vec<(String, String)>,
    /// Show the end of the function's log, and its REPORT line
    #[arg(short, long)]
    log: bool,
    /// Send an HTTP request instead of Lambda's Invoke; the path may have a query
    #[arg(long, num_args = 2, value_names = ["METHOD", "PATH"], conflicts_with = "log")]
    http: Option<Vec<String>>,
    /// A header of the HTTP request: 'Name: value'
    #[arg(short = 'H', long, value_name = "HEADER", requires = "http")]
    header: Vec<String>,
    /// On this machine: at the `flint dev` that runs, else by one that is started for this call and ended after it
    #[arg(long)]
    local: bool,
    /// The port at which --local looks for a `flint dev`
    #[arg(long, env = "FLINT_DEV_PORT", default_value_t = 3000)]
    port: u16,
    /// The folder or file of the functions that --local starts
    #[arg(long, value_name = "PATH", requires = "local", default_value = ".")]
    project: PathBuf,
    /// Wait so long for the answer
    #[arg(long, value_name = "TIME", default_value = "16m")]
    timeout: flint_api::Duration,
}

/// # Errors
/// When the function fails, refuses or is not there, or the gateway cannot be reached.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let Context { global, output } = context;
    let payload = args.payload()?;
    if !args.local {
        let (gateway, namespace) = args.gateway(global).await?;
        return call(&args, &gateway, &namespace, payload, output).await;
    }
    let namespace = global.namespace.clone().unwrap_or_else(|| "default".to_owned());
    // Whatever --url and FLINT_URL say is the cluster's.
    let gateway = Gateway::at(&format!("http://127.0.0.1:{}", args.port))?;
    if gateway.answers().await {
        return call(&args, &gateway, &namespace, payload, output).await;
    }
    let local = Local::start(&args.project, output).await?;
    let outcome = call(&args, &Gateway::at(&local.url)?, &namespace, payload, output).await;
    local.end().await;
    outcome
}

/// Sends the request, and prints what comes back.
async fn call(
    args: &Args,
    gateway: &Gateway,
    namespace: &str,
    payload: Vec<u8>,
    output: &Output,
) -> Result<(), Error> {
    let request = args.request(gateway, namespace, payload)?;
    let start = Instant::now();
    let unanswered = |error: reqwest::Error| {
        let error = error.without_url();
        if error.is_timeout() && !error.is_connect() {
            return Error::platform(format!("no answer within {}", args.timeout))
                .try_this("--timeout waits longer; the function may still be at work");
        }
        Error::platform(format!("no answer from the gateway at {}", gateway.url))
            .because(innermost(&error))
            .try_this(if args.local {
                "is `flint dev` still running?"
            } else {
                "`flint doctor` looks for the reason"
            })
    };
    let answer = async {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    };
    let answer = waiting::show(output, &format!("waiting for {}", args.function), answer).await;
    let answer = answer.map_err(unanswered)?;
    print(output, &answer, start.elapsed())?;
    match answer.error(&args.function) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The log, the body and the headline, each where it belongs.
fn print(output: &Output, answer: &Answer, took: std::time::Duration) -> Result<(), Error> {
    if output.format() != Format::Text {
        return output.result(&show::value(answer, took), String::new);
    }
    if let Some(log) = answer.log() {
        for line in log.lines() {
            // Asked for: even those who want quiet get it.
            output.complain(&format!("{DIM}{line}{DIM:#}"));
        }
    }
    let terminal = std::io::stdout().is_terminal();
    let failure = answer.failure();
    for line in failure.iter().flat_map(|failure| failure.stack()) {
        output.complain(&format!("{DIM}{line}{DIM:#}"));
    }
    // What Flint refuses, and on a terminal what the function raises, is told as an error.
    if answer.refusal().is_none() && !(terminal && failure.is_some()) {
        match show::body(answer, terminal) {
            Shown::Bytes(bytes) => {
                let mut stdout = std::io::stdout().lock();
                // A reader that has gone, as `head` does, is no failure.
                let _gone = stdout.write_all(&bytes).and_then(|()| stdout.flush());
            }
            Shown::Instead(told) => output.say(&told),
        }
    }
    output.say(&show::headline(answer, took));
    Ok(())
}

// === impl Args ===

impl Args {
    fn payload(&self) -> Result<Vec<u8>, Error> {
        // Bodies of HTTP requests are the function's to limit.
        let limit = self.http.is_none().then_some(LIMIT);
        if let Some(event) = &self.event {
            return Ok(events::sample(event, &self.set)?.to_string().into_bytes());
        }
        match (&self.data, &self.file) {
            (Some(text), _) if text == "-" => payload::stdin(limit),
            (Some(text), _) if self.http.is_some() => Ok(text.as_bytes().to_vec()),
            (Some(text), _) => payload::typed(text),
            (None, Some(file)) if file.as_os_str() == "-" => payload::stdin(limit),
            (None, Some(file)) => payload::file(file, limit),
            (None, None) if self.stdin.is_some() => payload::stdin(limit),
            (None, None) if self.http.is_some() => Ok(Vec::new()),
            (None, None) => Ok(b"{}".to_vec()),
        }
    }

    /// The gateway, and the namespace that the function is in.
    async fn gateway(&self, global: &Global) -> Result<(Gateway, String), Error> {
        let named = global.namespace.clone();
        let default = || named.clone().unwrap_or_else(|| "default".to_owned());
        if let Some(gateway) = Gateway::given(global)? {
            // Without a kubeconfig a URL is enough.
            let namespace =
                Cluster::connect(global).await.map_or_else(|_| default(), |cluster| cluster.namespace);
            return Ok((gateway, namespace));
        }
        let cluster = Cluster::connect(global).await?;
        let gateway = Gateway::find(&cluster, global).await?;
        Ok((gateway, cluster.namespace))
    }

    fn request(
        &self,
        gateway: &Gateway,
        namespace: &str,
        payload: Vec<u8>,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let timeout = self.timeout.get();
        let Some([method, path]) = self.http.as_deref() else {
            let request = gateway.http.post(gateway.invoke_url(namespace, &self.function));
            let request = request.header("content-type", "application/json").timeout(timeout).body(payload);
            return Ok(if self.log { request.header("x-amz-log-type", "Tail") } else { request });
        };
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
            .map_err(|_| Error::usage(format!("{method:?} is no HTTP method")))?;
        if !path.starts_with('/') {
            return Err(Error::usage(format!("the path {path:?} does not begin with /"))
                .try_this(format!("--http {method} /{path}")));
        }
        let url = format!("{}{path}", gateway.function_url(namespace, &self.function));
        let mut request = gateway.http.request(method, url).timeout(timeout).body(payload);
        for header in &self.header {
            let (name, value) = parse_header(header)?;
            request = request.header(name, value);
        }
        Ok(request)
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write FIELD=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), Error> {
    text.split_once(':')
        .and_then(|(name, value)| {
            Some((name.trim().parse().ok()?, HeaderValue::from_str(value.trim()).ok()?))
        })
        .ok_or_else(|| Error::usage(format!("{text:?} is no header")).try_this("write -H 'Name: value'"))
}
