import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../build.ts'
import { freePort } from '../lib/free-port.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import type { Block } from './blocks.ts'
import { startRegistry, writeRegistryFolder } from './other-registries.ts'
import type { Trial } from './treatments.ts'

const secondsMax = 120

/** The password that the sandbox types, and that of the account admin. */
const PASSWORD = 'correct-horse-battery'

/** What a block can rely on: a server in the background, and a way to push without a client. */
const PRELUDE = `
set -eE -o pipefail
trap 'echo "failed: $BASH_COMMAND"' ERR
background() { "$@" > background.log 2>&1 & OTHERS="$OTHERS $!"; }
sudo() { "$@"; }
end() { stop; for ONE in $OTHERS; do kill "$ONE"; wait "$ONE" || true; done; }
stop() { if [ -n "$SERVER" ]; then kill "$SERVER"; wait "$SERVER" || true; SERVER=; fi; }
trap end EXIT
trap 'cat background.log; exit 1' TERM
serve() {
  stop
  rm -f serve.log
  command cay "$@" > serve.log 2>&1 &
  SERVER=$!
  until grep -qs '"msg":"listening"' serve.log; do kill -0 "$SERVER" || { cat serve.log; return 1; }; sleep 0.05; done
}
cay() { if [ "$1" = serve ]; then serve "$@"; else command cay "$@"; fi; }
push() { # REPOSITORY TAG [CONTENT]
  local url="http://localhost:5000/v2/$1" config=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
  local type=application/vnd.oci.image descriptor
  descriptor="{\\"mediaType\\":\\"$type.config.v1+json\\",\\"digest\\":\\"$config\\",\\"size\\":2}"
  send() { curl -fsS -u "admin:$PASSWORD" -H "content-type: $1" --data-binary "$2" -X "$3" "$4"; }
  send application/octet-stream '{}' POST "$url/blobs/uploads/?digest=$config"
  send $type.manifest.v1+json "{\\"schemaVersion\\":2,\\"mediaType\\":\\"$type.manifest.v1+json\\",\\"config\\":$descriptor,\\"layers\\":[],\\"annotations\\":{\\"n\\":\\"$3\\"}}" PUT "$url/manifests/$2"
}
token() { curl -fsS -u "admin:$PASSWORD" -H 'content-type: application/json' -d '{"name": "readme"}' http://localhost:5000/api/v1/accounts/admin/tokens | sed 's/.*"secret":"\\([^"]*\\)".*/\\1/'; }
age() { # HOURS: makes everything so much older
  stop
  bun -e 'const db = new (require("bun:sqlite").Database)(process.env.CAY_DATA + "/cay.db"); for (const [table, column] of [["tag_history", "at"], ["repository", "created_at"], ["manifest", "pushed_at"]]) db.run("update " + table + " set " + column + " = " + column + " - 3600000 * " + process.argv[1])' "$1"
  cay serve
}
digest() { curl -fsSI -u "admin:$PASSWORD" -H 'accept: */*' "http://localhost:5000/v2/$1/manifests/$2" | tr -d '\\r' | sed -n 's/^docker-content-digest: //ip'; }
`

/**
 * Runs a block as printed, on a terminal, with an empty home folder; returns what the terminal showed.
 *
 * Ports 5000 and 443 are replaced by free ones, registry.example by the server, https://harbor.example and
 * https://quay.example by registries that answer as they do, /srv, /mnt, /usr/local/bin, /etc/cay, /etc/letsencrypt and
 * /var/lib/registry by folders of the sandbox, and `sha256:...` by a digest. `sudo` changes nothing.
 *
 * @param folders more folders of programs
 * @throws Error with the output if a command of the block fails
 */
export async function runBlock(block: Block, trial: Trial, folders: string[] = []): Promise<string> {
  await using folder = await temporaryFolder('readme')
  const home = folder.path
  const bin = join(home, 'bin')
  await mkdir(bin)
  await symlink(process.env.CAY_EXECUTABLE ?? (await build()), join(bin, 'cay'))
  await symlink(process.execPath, join(bin, 'bun'))
  const [port, securePort] = [String(freePort()), String(freePort())]
  await using moving = new AsyncDisposableStack()
  const moved = await startMoving(block.text, home, moving)
  const place = (text: string) =>
    text
      .replaceAll('https://registry.example:', 'http://localhost:')
      .replaceAll('registry.example:', 'localhost:')
      .replaceAll(moved.name, moved.url)
      .replaceAll(/\b5000\b/g, port)
      .replaceAll(/\b443\b/g, securePort)
      .replaceAll(/(?<![\w.~])\/(srv|mnt|usr\/local\/bin|etc\/cay|etc\/letsencrypt)\b/g, `${home}/$1`)
  const { before = '', after = '', script } = trial
  if (script !== undefined) await Bun.write(join(home, 'block.conf'), place(block.text))
  const code = (script ?? commandsOf(block)).replaceAll('sha256:...', '"$DIGEST"')
  const all = place(
    `${PRELUDE}\nMOVED_DIGEST=${moved.digest}\nPASSWORD=${PASSWORD}\n${before}\n: block\n${code}\n${after}\n`,
  )
  await Bun.write(join(home, 'block.sh'), all)
  const { output, ended } = await onTerminal(['bash', 'block.sh'], home, {
    PATH: [bin, ...folders, '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'].join(':'),
    HOME: home,
    CAY_DATA: join(home, '.local/share/cay'),
    CAY_LISTEN: `127.0.0.1:${port}`,
    TERM: 'dumb',
    ...(trial.isFirstStart ? {} : { CAY_ADMIN_PASSWORD: PASSWORD }),
  })
  if (ended === 0) return output
  throw new Error(`${block.page}, "${block.section}": ended with ${ended}\n${output}`)
}

/** Starts the registry from which the block moves in, or writes its folder. */
async function startMoving(text: string, home: string, resources: AsyncDisposableStack) {
  for (const kind of ['harbor', 'quay'] as const) {
    const name = `https://${kind}.example`
    if (text.includes(name)) return { name, ...resources.use(await startRegistry(kind)) }
  }
  const name = '/var/lib/registry'
  const isFolder = text.includes(`${name} `)
  const digest = isFolder ? await writeRegistryFolder(join(home, 'registry')) : ''
  return { name, url: join(home, 'registry'), digest }
}

/** Returns the commands of a block. If it shows a session, they follow the prompt. */
function commandsOf({ language, text }: Block): string {
  if (language !== 'console') return text
  return text
    .split('\n')
    .flatMap((line) => (line.startsWith('$ ') ? [line.slice(2)] : []))
    .join('\n')
}

/** Runs a command on a terminal, where it answers what is asked: names, passwords and confirmations. */
async function onTerminal(command: string[], cwd: string, env: Record<string, string>) {
  let output = ''
  let asked = ''
  const child = Bun.spawn(command, {
    cwd,
    env,
    // The shell then ends what it has started.
    timeout: secondsMax * 1000,
    killSignal: 'SIGTERM',
    terminal: {
      cols: 200,
      rows: 50,
      data(terminal, bytes) {
        const text = new TextDecoder().decode(bytes)
        output += text
        asked += Bun.stripANSI(text)
        const answer = ANSWERS.find(([question]) => question.test(asked))?.[1]
        if (answer === undefined) return
        asked = ''
        terminal.write(answer)
      },
    },
  })
  const ended = await child.exited
  return { output: output.replaceAll('\r', ''), ended }
}

const ANSWERS: readonly (readonly [RegExp, string])[] = [
  [/username[^\n]*: *$/i, 'admin\n'],
  [/password[^\n]*: *$/i, `${PASSWORD}\n`],
  [/\[y\/N\] *$/, 'y\n'],
]
