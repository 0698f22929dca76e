import type { Trial } from './documentation.ts'

/** The registry then has the image of the other one, and its signature. */
const MOVES_IN = {
  before: 'cay serve',
  after:
    'test "$(digest team/app 1.0)" = "$MOVED_DIGEST"; test -n "$(digest team/app "$(echo $MOVED_DIGEST | tr : -).sig")"',
}

/** An engine that needs no network and no storage driver of the kernel, and has an image alpine. */
const DOCKER = `cay serve
export DOCKER_HOST=unix://$HOME/docker.sock
background dockerd --iptables=false --ip6tables=false --bridge=none --storage-driver=vfs \
  --data-root $HOME/docker --exec-root $HOME/exec --pidfile $HOME/docker.pid --host $DOCKER_HOST
until docker info > /dev/null 2>&1; do sleep 0.1; done
tar c -T /dev/null | docker import - alpine`

/** Each client signs in. podman and skopeo keep what they store and sign in with in the sandbox. */
const CLIENTS = `cay serve
mkdir -p .config/containers run
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > .config/containers/policy.json
printf '[storage]\\ndriver = "vfs"\\ngraphroot = "%s"\\nrunroot = "%s"\\n' "$HOME/storage" "$HOME/run" > storage.conf
export CONTAINERS_STORAGE_CONF=$HOME/storage.conf REGISTRY_AUTH_FILE=$HOME/auth.json XDG_RUNTIME_DIR=$HOME/run
podman login --tls-verify=false -u admin -p "$PASSWORD" localhost:5000
crane auth login -u admin -p "$PASSWORD" localhost:5000
oras login --plain-http -u admin -p "$PASSWORD" localhost:5000
helm registry login --plain-http -u admin -p "$PASSWORD" localhost:5000
push layout 1; crane pull --format=oci localhost:5000/layout:1 layout
tar c -T /dev/null | podman import - app
echo notes > notes.txt
helm create chart; helm package chart`

const NGINX = `cay serve --trusted-proxies 127.0.0.1
LIVE=/etc/letsencrypt/live/registry.example.org; CA=$LIVE/fullchain.pem
mkdir -p $LIVE
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=registry.example.org \
  -addext subjectAltName=DNS:registry.example.org -keyout $LIVE/privkey.pem -out $CA
echo "events {} http { access_log off; include $HOME/block.conf; }" > nginx.conf
background nginx -p "$HOME" -c "$HOME/nginx.conf" -g "daemon off; pid $HOME/nginx.pid; error_log stderr;"`

const CADDY = `cay serve --trusted-proxies 127.0.0.1
CA=$HOME/.local/share/caddy/pki/authorities/local/root.crt
echo '{ LF local_certs LF skip_install_trust LF admin off LF auto_https disable_redirects LF https_port 443 LF }' |
  sed 's/ LF /\\n/g' | cat - block.conf > Caddyfile
background caddy run --config Caddyfile --adapter caddyfile
until [ -e "$CA" ]; do sleep 0.1; done`

/** The registry is used through the proxy, which sends it the address that the client used. */
const THROUGH_PROXY = `
SITE=https://registry.example.org:443
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

/** The blocks that need more than a server with some content, by their first lines. */
export const TRIALS: Record<string, Trial> = {
  'npm start': { untried: 'installs from the internet; CI begins with these commands' },
  'sha256sum --check --ignore-missing SHA256SUMS': {
    before: `cp "$(type -P cay)" cay-linux-x64; sha256sum cay-linux-x64 > SHA256SUMS
mkdir -p /usr/local/bin; export PATH=/usr/local/bin:$PATH`,
  },
  'skopeo copy oci-archive:cay-0.1.0-image.tar:0.1.0 docker-daemon:cay:0.1.0': {
    untried: 'needs a release; the suite of installations runs the image',
  },
  'podman tag "$(podman pull --quiet oci-archive:cay-0.1.0-image.tar:0.1.0)" cay:0.1.0': {
    untried: 'needs systemd of a user; the suite of installations runs the Quadlet',
  },
  'helm install cay cay-0.1.0.tgz --namespace cay --create-namespace --set image.repository=registry.example/cay':
    { untried: 'needs a cluster; the suite of installations checks the chart and the manifests' },
  'sudo ./cay-linux-x64 service install --listen 0.0.0.0:5000 --tls auto': {
    untried: 'needs systemd; the suite of installations tries it',
  },
  'cay serve': { isFirstStart: true },
  'docker login localhost:5000 -u admin': { tools: ['docker', 'dockerd'], before: DOCKER },
  'skopeo copy --all --dest-tls-verify=false oci:layout docker://localhost:5000/app:1.0': {
    tools: ['skopeo', 'podman', 'crane', 'oras', 'helm3'],
    before: CLIENTS,
  },
  'server {': { tools: ['nginx'], script: NGINX + THROUGH_PROXY },
  'registry.example.org {': { tools: ['caddy'], script: CADDY + THROUGH_PROXY },
  'http:': { untried: 'Traefik is neither a Debian package nor installable with `go install`' },
  "cay token create alice laptop --expires 90d --scope 'alice/**=reader'": {
    before: 'content; cay user create alice',
  },
  'printf %s "$CAY_CI_TOKEN" | docker login registry.example:5000 -u alice+ci --password-stdin': {
    tools: ['docker', 'dockerd'],
    before: `${DOCKER}
cay user create alice; CAY_CI_TOKEN=$(cay robot create alice+ci | sed 's/.* //')
cay grant create alice+ci 'alice/**' writer
docker tag alpine registry.example:5000/alice/app:1.0`,
  },
  'cay serve --upstream docker.io,ghcr.io': {
    untried: 'needs the internet; the suite of clients pulls through a cache',
  },
  '[Definition]': {
    tools: ['fail2ban-regex'],
    script: `cay serve; curl -sS -u admin:wrong http://localhost:5000/v2/
fail2ban-regex "$PWD/serve.log" "$PWD/block.conf" | tee found
grep '1 matched' found`,
  },
  '[cay]': { untried: 'bans addresses of this host' },
  'cay tag history app v1': { before: 'content; age 3; push app v1 newer' },
  'cay manifest purge app@sha256:...': { before: 'content; cay manifest delete app@$DIGEST --yes' },
  'cay backup /mnt/backup/cay': {
    after: 'test "$(digest app v1)" = "$DIGEST"; cay fsck --data /srv/new',
  },
  'cay import image.tar team/app': {
    before: 'content; cay export image.tar app:v1; cay export monday.tar team/app',
  },
  'cay import /var/lib/registry': { ...MOVES_IN, after: `${MOVES_IN.after}; cay user list | grep -w bob` },
  "cay migrate https://harbor.example --username 'robot$mover' --password-file secret": MOVES_IN,
  "cay migrate https://quay.example --username team+mover --password-file secret --pattern 'team/**'":
    MOVES_IN,
  'cay login https://registry.example:5000': { before: 'content; unset CAY_DATA' },
  'api() { curl -sS --fail-with-body -H "Authorization: Bearer $CAY_TOKEN" -H \'Content-Type: application/json\' "$@"; }':
    {
      before:
        'content; CAY_TOKEN=$(token); cay group create team; cay user create alice; cay robot create alice+ci',
    },
}
