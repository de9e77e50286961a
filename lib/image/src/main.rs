//! `flint-image`: makes images from recipes and pushes them, without a container engine.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use flint_image::{Credentials, Error, Image, Platform, Recipe, Reference, Registry, Store, Variables};
use tokio::time::Instant;

/// Makes images from recipes and pushes what the registry lacks. Prints one line NAME@DIGEST for each on stdout.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The recipes.
    #[arg(required = true)]
    recipes: Vec<PathBuf>,
    /// Where layers are kept between builds.
    #[arg(long, env = "FLINT_IMAGE_STORE", default_value = "build/images")]
    store: PathBuf,
    /// NAME=VALUE for `${NAME}` in recipes.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,
    /// REGISTRY or REGISTRY/PREFIX to push to; plain HTTP on this machine's loopback, TLS elsewhere.
    #[arg(long, value_name = "REGISTRY")]
    push: Option<String>,
    /// The tag; may be given several times.
    #[arg(long = "tag", value_name = "TAG", default_value = "latest")]
    tags: Vec<String>,
    /// A folder to write OCI image layouts to, one folder an image.
    #[arg(long, value_name = "FOLDER")]
    layout: Option<PathBuf>,
    /// The processor: amd64, arm64; this machine's by default.
    #[arg(long)]
    architecture: Option<String>,
    /// Name at the registry; `~/.docker/config.json` is read too.
    #[arg(long, env = "REGISTRY_USERNAME", requires = "password")]
    username: Option<String>,
    /// Password at the registry.
    #[arg(long, env = "REGISTRY_PASSWORD", requires = "username", hide_env_values = true)]
    password: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flint-image: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Error> {
    let mut platform = Platform::host();
    if let Some(architecture) = &args.architecture {
        platform.architecture.clone_from(architecture);
    }
    let mut credentials = Credentials::from_docker_config()?;
    if let (Some(push), Some(name), Some(password)) = (&args.push, &args.username, &args.password) {
        credentials.set(push, name, password);
    }
    let registry = Registry::new(credentials, platform.clone());
    let store = Store::open(&args.store)?;
    let variables: Variables = args.variables.iter().cloned().collect();
    for path in &args.recipes {
        let started = Instant::now();
        let recipe = Recipe::read(path)?;
        let image = recipe.build(&variables, &store, platform.clone())?;
        if let Some(folder) = &args.layout {
            image.write_layout(&folder.join(recipe.name()), &args.tags[0])?;
        }
        let (name, news) = match &args.push {
            Some(to) => {
                let name = format!("{}/{}", to.trim_end_matches('/'), recipe.name());
                let news = push(&registry, &image, &name, &args.tags).await?;
                (name, news)
            }
            None => (recipe.name().to_owned(), "not pushed".to_owned()),
        };
        let (megabytes, seconds) = (mega(image.size()), started.elapsed().as_secs_f64());
        eprintln!("  {:<20} {megabytes:>7.1} MB  {seconds:>5.1} s  {news}", recipe.name());
        println!("{name}@{}", image.digest());
    }
    Ok(())
}

/// Pushes under every tag, and tells what it took.
async fn push(registry: &Registry, image: &Image, name: &str, tags: &[String]) -> Result<String, Error> {
    let (mut sent, mut bytes, mut there) = (0, 0, 0);
    for tag in tags {
        let reference: Reference = format!("{name}:{tag}").parse()?;
        let pushed = registry.push(image, &reference).await?;
        sent += pushed.sent;
        bytes += pushed.bytes;
        there = there.max(pushed.present + pushed.mounted);
    }
    Ok(match sent {
        0 => "was there".into(),
        sent => format!("sent {:.1} MB in {sent} blobs, {there} were there", mega(bytes)),
    })
}

// Sizes are for people: what an f64 cannot hold of them is nothing.
#[allow(clippy::cast_precision_loss)]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.into(), value.into()))
}
