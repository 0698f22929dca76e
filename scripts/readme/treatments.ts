import type { ToolName } from '../toolchain/toolchain.ts'
import type { Block } from './blocks.ts'

/** How a block is tried. */
export interface Trial {
  /** Commands that bring about what the page presupposes. They can use the functions of the sandbox. */
  before?: string
  /** Commands that check what the block has done. */
  after?: string
  /** The block is about the first password. */
  isFirstStart?: boolean
  /** Tries a configuration, which is in the file block.conf, instead of running the block. */
  script?: string
}

/** What is done with a block: it is run, alone or with other programs, read as cay's configuration, or not tried at all. */
export type Treatment =
  | ({ by: 'shell' } & Trial)
  | ({ by: 'clients'; tools: ToolName[] } & Trial)
  | { by: 'config' }
  | { by: 'nothing'; reason: string }

const IMAGE = 'cay serve; push team/app 1.0; push app v1; DIGEST=$(digest app v1)'

/** The image of the other registry, and the signature of its, are here. */
const IS_MOVED =
  'test "$(digest team/app 1.0)" = "$MOVED_DIGEST"; test -n "$(digest team/app "$(echo $MOVED_DIGEST | tr : -).sig")"'

/** An engine that needs no network and no storage driver of the kernel, and has an image alpine. */
const DOCKER = `export DOCKER_HOST=unix://$HOME/docker.sock
background dockerd --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs \
  --data-root $HOME/docker --exec-root $HOME/exec --pidfile $HOME/docker.pid --host $DOCKER_HOST
until docker info > /dev/null 2>&1; do sleep 0.1; done
tar c -T /dev/null | docker import - alpine`

/** Each client signs in. podman and skopeo keep what they store and sign in with in the sandbox. */
const SIGNED_IN = `mkdir -p .config/containers run
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > .config/containers/policy.json
printf '[storage]\\ndriver = "vfs"\\ngraphroot = "%s"\\nrunroot = "%s"\\n' "$HOME/storage" "$HOME/run" > storage.conf
export CONTAINERS_STORAGE_CONF=$HOME/storage.conf REGISTRY_AUTH_FILE=$HOME/auth.json XDG_RUNTIME_DIR=$HOME/run
podman login --tls-verify=false -u admin -p "$PASSWORD" localhost:5000
crane auth login -u admin -p "$PASSWORD" localhost:5000
oras login --plain-http -u admin -p "$PASSWORD" localhost:5000
helm registry login --plain-http -u admin -p "$PASSWORD" localhost:5000`

const NGINX = `cay serve --trusted-proxies 127.0.0.1
LIVE=/etc/letsencrypt/live/registry.example.org
mkdir -p $LIVE
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=registry.example.org \
  -addext subjectAltName=DNS:registry.example.org -keyout $LIVE/privkey.pem -out $LIVE/fullchain.pem
CA=$LIVE/fullchain.pem
cat > nginx.conf <<END
daemon off;
pid $HOME/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path $HOME/body;
  proxy_temp_path $HOME/proxy;
  fastcgi_temp_path $HOME/fastcgi;
  uwsgi_temp_path $HOME/uwsgi;
  scgi_temp_path $HOME/scgi;
  include $HOME/block.conf;
}
END
background nginx -p "$HOME" -c "$HOME/nginx.conf"`

const CADDY = `cay serve --trusted-proxies 127.0.0.1
CA=$HOME/.local/share/caddy/pki/authorities/local/root.crt
{
  echo '{'
  echo local_certs
  echo skip_install_trust
  echo admin off
  echo auto_https disable_redirects
  echo https_port 443
  echo '}'
  cat block.conf
} > Caddyfile
background caddy run --config Caddyfile --adapter caddyfile
until [ -e "$CA" ]; do sleep 0.1; done`

/** The registry is used through the proxy, which sends it the address that the client used. */
const THROUGH_PROXY = `SITE=https://registry.example.org:443
anybody() { curl -sS --cacert "$CA" --resolve registry.example.org:443:127.0.0.1 "$@"; }
proxied() { anybody -f -u "admin:$PASSWORD" "$@"; }
until anybody -f -o answer $SITE/livez; do sleep 0.1; done
anybody -D headers -o answer $SITE/v2/
grep -iF "realm=\\"$SITE/token\\"" headers
head -c 20000000 /dev/urandom > layer
DIGEST=sha256:$(sha256sum layer | cut -d ' ' -f 1)
proxied -D headers -o answer -X POST $SITE/v2/app/blobs/uploads/
UPLOAD=$(tr -d '\\r' < headers | sed -n 's/^location: //ip')
proxied -T layer "$SITE$UPLOAD?digest=$DIGEST"
proxied -o pulled $SITE/v2/app/blobs/$DIGEST
cmp layer pulled`

const config: Treatment = { by: 'config' }

function shell(before = '', after = ''): Treatment {
  return { by: 'shell', before, after }
}

function clients(tools: ToolName[], trial: Trial): Treatment {
  return { by: 'clients', tools, ...trial }
}

function untried(reason: string): Treatment {
  return { by: 'nothing', reason }
}

/** The treatment of each block, by its page, its heading and the beginning of its first line. */
const TREATMENTS: Record<string, Record<string, Treatment>> = {
  'README.md cay': { 'npm start': untried('installs from the internet; CI begins with these commands') },
  'README.md Install': {
    sha256sum: shell(`cp "$(type -P cay)" cay-linux-x64; sha256sum cay-linux-x64 > SHA256SUMS
mkdir -p /usr/local/bin; export PATH=/usr/local/bin:$PATH`),
  },
  'README.md In Docker or podman': {
    'skopeo copy': untried('needs a release; `bun scripts/main.ts installs` runs the image'),
    'podman tag': untried('needs systemd of a user; `bun scripts/main.ts installs` runs the Quadlet'),
  },
  'README.md In Kubernetes or k3s': {
    'helm install': untried(
      'needs a cluster; `bun scripts/main.ts installs` checks the chart and the manifests',
    ),
  },
  'README.md As a service': {
    'sudo ./cay-linux-x64': untried('needs systemd; `bun scripts/main.ts installs` tries it'),
  },
  'README.md First start': { 'cay serve': { by: 'shell', isFirstStart: true } },
  'README.md Push and pull': {
    'docker login': clients(['docker', 'dockerd'], { before: `cay serve; ${DOCKER}` }),
    'skopeo copy': clients(['skopeo', 'podman', 'crane', 'oras', 'helm3'], {
      before: `cay serve; ${SIGNED_IN}
push layout 1; crane pull --format=oci localhost:5000/layout:1 layout
tar c -T /dev/null | podman import - app
echo notes > notes.txt
helm create chart; helm package chart`,
    }),
  },
  'README.md Serve other hosts with TLS': { 'cay serve': shell() },
  'README.md Behind a reverse proxy': {
    'trusted-proxies': config,
    'server {': clients(['nginx'], { script: `${NGINX}\n${THROUGH_PROXY}` }),
    'registry.example.org {': clients(['caddy'], { script: `${CADDY}\n${THROUGH_PROXY}` }),
    'http:': untried('Traefik is neither a Debian package nor installable with `go install`'),
  },
  'README.md Users, robots and grants': {
    'cay user create alice': shell(`cay serve; push team/app 1.0
echo 'bob:$2b$04$GpXt6Y5ftqvb9l9fdoR7VeNrTPqhPeiYP4IfCkHRSsPAhCyQbLQWy' > htpasswd`),
    'cay grant create anonymous': shell('cay serve; cay user create alice'),
  },
  'README.md Push from CI': {
    'printf %s': clients(['docker', 'dockerd'], {
      before: `cay serve; ${DOCKER}
cay user create alice; CAY_CI_TOKEN=$(cay robot create alice+ci | sed 's/.* //')
cay grant create alice+ci 'alice/**' writer
docker tag alpine registry.example:5000/alice/app:1.0`,
    }),
  },
  'README.md Cache other registries': {
    '$ cay serve --upstream': untried('needs the internet; `bun run clients` pulls through a cache'),
    '[[upstream]]': config,
  },
  'docs/cache.md For a site with a bad uplink': { '[[upstream]]': config },
  'docs/cache.md For a board with an SD card': { '[[upstream]]': config },
  'docs/cache.md Manage upstreams while cay runs': {
    '$ cay upstream create': shell('cay serve; echo secret > ghcr-token'),
  },
  'README.md Run it': { 'cay serve': shell('mkdir -p /srv') },
  'README.md Logs': { 'cay repo pulls': shell(IMAGE) },
  'docs/logs.md Block addresses with fail2ban': {
    '[Definition]': clients(['fail2ban-regex'], {
      before: 'cay serve',
      script: `curl -sS -u admin:wrong http://localhost:5000/v2/
fail2ban-regex "$PWD/serve.log" "$PWD/block.conf" | tee found
grep '1 matched' found`,
    }),
    '[cay]': untried('bans addresses of this host'),
  },
  'README.md Undo': {
    'cay tag delete': shell(`${IMAGE}; push app pr-17; age 3; push app v1 newer`),
    'cay manifest purge': shell(`${IMAGE}; cay manifest delete app@$DIGEST --yes`),
  },
  'README.md Expire old tags': {
    '$ cay retention test': shell('cay serve; push ci/app pr-1; push prod/app 1.0'),
    '[[retention]]': config,
  },
  'README.md Limit what a namespace holds': {
    '$ cay quota set': shell('cay serve; push alice/app 1.0'),
    '[[quota]]': config,
  },
  'README.md Garbage collection': { 'cay gc': shell(IMAGE) },
  'README.md Back up and restore': {
    'cay backup': shell(
      `${IMAGE}; mkdir -p /mnt /srv`,
      'test "$(digest app v1)" = "$DIGEST"; cay fsck --data /srv/new',
    ),
  },
  'README.md Move in and out': {
    'cay import image.tar': shell(
      `${IMAGE}; push team/web 1.0; cay export image.tar app:v1; cay export monday.tar team/app`,
    ),
  },
  'README.md From registry:2': {
    'cay import /var/lib/registry': shell(
      "cay serve; printf %s 'alice:$2b$05$FnYC4fBJ2G6BDPbmowbe8uoF8QwybGjoQ8IuApdrvtQW2RvZZXvza' > htpasswd",
      `${IS_MOVED}; cay user list | grep -w alice`,
    ),
  },
  'README.md From Harbor': { 'cay migrate': shell('cay serve; printf secret > secret', IS_MOVED) },
  'README.md From Quay': { 'cay migrate': shell('cay serve; printf secret > secret', IS_MOVED) },
  'README.md Damaged content': { 'cay damage': shell(IMAGE) },
  'README.md Restrict what can be pushed': { '[artifacts]': config },
  'README.md The command line': { 'cay login': shell('cay serve; unset CAY_DATA') },
  'README.md The API': {
    'api() {': shell(
      `${IMAGE}; push team/app v1; CAY_TOKEN=$(token); cay group create team; cay user create alice; cay robot create alice+ci`,
    ),
  },
}

/** Returns what is done with a block. Undefined for a block that the table does not have. */
export function treatmentOf({ page, section, name }: Pick<Block, 'page' | 'section' | 'name'>) {
  const known = Object.entries(TREATMENTS[`${page} ${section}`] ?? {})
  return known.find(([begins]) => name.startsWith(begins))?.[1]
}
