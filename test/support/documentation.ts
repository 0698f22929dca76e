import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { freePort } from '../../scripts/lib/free-port.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { ToolName } from '../../scripts/toolchain/toolchain.ts'
import { startOtherRegistries } from './other-registries.ts'

/** A page of the documentation. Its path is relative to the repository. */
interface Page {
  path: string
  text: string
}

/** A code block of a page. */
export interface Block {
  page: string
  /** `sh`, `toml`, ... */
  language: string
  text: string
  /** Its first line, without a comment, by which it is known. */
  name: string
}

/** How a block is tried. By default, commands run on a server with some content, and settings are read. */
export interface Trial {
  /** Why the block is not tried. */
  untried?: string
  /** The programs that it needs. */
  tools?: ToolName[]
  /** Commands that prepare what the block expects. They can use the functions of the sandbox. */
  before?: string
  /** Commands that check what the block has done. */
  after?: string
  /** Commands that try a block that is not commands itself, from the file block.conf. */
  script?: string
  /** The block is about the first password, so none is set. */
  isFirstStart?: boolean
}

const root = join(import.meta.dir, '../..')

/** Returns README.md and all pages of docs/. */
export async function readPages(): Promise<Page[]> {
  const paths = ['README.md', ...[...new Bun.Glob('docs/**/*.md').scanSync(root)].sort()]
  return await Promise.all(
    paths.map(async (path) => ({ path, text: await Bun.file(join(root, path)).text() })),
  )
}

/** Returns the code blocks of the pages. A block that several pages show is returned once. */
export function blocksOf(pages: readonly Page[]): Block[] {
  const blocks = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)].map(([, language = '', code = '']): Block => {
      const name = (code.split('\n')[0] ?? '')
        .replace(/^\$ /, '')
        .replace(/\s+#.*/, '')
        .trim()
      return { page: path, language, text: code, name }
    }),
  )
  return [...new Map(blocks.map((block) => [block.text, block])).values()]
}

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
content() { # starts a server that has some images, and sets DIGEST to that of one
  cay serve
  for ONE in 'team/app 1.0' 'team/app v1' 'team/web 1.0' 'app v1' 'alice/app 1.0' 'ci/app pr-1' 'prod/app 1.0'; do push $ONE; done
  DIGEST=$(digest app v1)
}
token() { curl -fsS -u "admin:$PASSWORD" -H 'content-type: application/json' -d '{"name": "docs"}' http://localhost:5000/api/v1/accounts/admin/tokens | sed 's/.*"secret":"\\([^"]*\\)".*/\\1/'; }
age() { # HOURS: makes everything so much older
  stop
  bun -e 'const db = new (require("bun:sqlite").Database)(process.env.CAY_DATA + "/cay.db"); for (const [table, column] of [["tag_history", "at"], ["repository", "created_at"], ["manifest", "pushed_at"]]) db.run("update " + table + " set " + column + " = " + column + " - 3600000 * " + process.argv[1])' "$1"
  cay serve
}
digest() { curl -fsSI -u "admin:$PASSWORD" -H 'accept: */*' "http://localhost:5000/v2/$1/manifests/$2" | tr -d '\\r' | sed -n 's/^docker-content-digest: //ip'; }
mkdir -p /srv /mnt
`

/** Files that blocks name: a password, a token, and the password of bob. */
const FILES = {
  secret: 'secret',
  'ghcr-token': 'secret\n',
  htpasswd: 'bob:$2b$04$GpXt6Y5ftqvb9l9fdoR7VeNrTPqhPeiYP4IfCkHRSsPAhCyQbLQWy',
}

/** Reads settings without a warning. The files that they name in /etc/cay exist. */
const READS_SETTINGS = `mkdir -p /etc/cay
for ONE in $(grep -o '"[^"]*/etc/cay/[^"]*"' block.conf | tr -d '"'); do echo secret > "$ONE"; done
command cay config --config block.conf 2> errors
cat errors; test ! -s errors`

/**
 * Runs a block as printed, on a terminal, with an empty home folder. The output that a `console` block shows must be
 * what its commands print, but for digests, tokens, names of snapshots and numbers.
 *
 * Ports 5000 and 443 are replaced by free ones, registry.example by the server, https://harbor.example and
 * https://quay.example by registries that answer as they do, /srv, /mnt, /usr/local/bin, /etc/cay, /etc/letsencrypt and
 * /var/lib/registry by folders of the sandbox, and `sha256:...` by a digest. `sudo` changes nothing.
 *
 * @param folders more folders of programs
 * @throws Error with the output if a command of the block fails, or prints something else
 */
export async function runBlock(block: Block, trial: Trial, folders: string[] = []): Promise<void> {
  await using folder = await temporaryFolder('docs')
  const home = folder.path
  const bin = join(home, 'bin')
  await mkdir(bin)
  await symlink(process.env.CAY_EXECUTABLE ?? (await build()), join(bin, 'cay'))
  await symlink(process.execPath, join(bin, 'bun'))
  const [port, securePort] = [String(freePort()), String(freePort())]
  await using others = await startOtherRegistries(join(home, 'registry'))
  const place = (text: string) =>
    text
      .replaceAll('https://registry.example:', 'http://localhost:')
      .replaceAll('registry.example:', 'localhost:')
      .replaceAll('https://harbor.example', others.harbor)
      .replaceAll('https://quay.example', others.quay)
      .replaceAll('/var/lib/registry', `${home}/registry`)
      .replaceAll(/\b5000\b/g, port)
      .replaceAll(/\b443\b/g, securePort)
      .replaceAll(/(?<![\w.~])\/(srv|mnt|usr\/local\/bin|etc\/cay|etc\/letsencrypt)\b/g, `${home}/$1`)
  for (const [name, text] of Object.entries(FILES)) await Bun.write(join(home, name), text)
  await Bun.write(join(home, 'block.conf'), place(block.text))
  const script = trial.script ?? (block.language === 'toml' ? READS_SETTINGS : undefined)
  const { before = script !== undefined || trial.isFirstStart ? '' : 'content', after = '' } = trial
  const code = (script ?? commandsOf(block)).replaceAll('sha256:...', '"$DIGEST"')
  const variables = `MOVED_DIGEST=${others.digest}\nPASSWORD=${PASSWORD}`
  const shell = [variables, PRELUDE, before, ': block', code, after, ''].join('\n')
  await Bun.write(join(home, 'block.sh'), place(shell))
  const { output, ended } = await onTerminal(['bash', 'block.sh'], home, {
    PATH: [bin, ...folders, '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'].join(':'),
    HOME: home,
    CAY_DATA: join(home, '.local/share/cay'),
    CAY_LISTEN: `127.0.0.1:${port}`,
    TERM: 'dumb',
    ...(trial.isFirstStart ? {} : { CAY_ADMIN_PASSWORD: PASSWORD }),
  })
  if (ended !== 0) throw new Error(`${block.page}: ended with ${ended}\n${output}`)
  const printed = outputOf(output.replaceAll(home, ''))
  const missing =
    block.language === 'console' ? outputOf(block.text).filter((line) => !printed.includes(line)) : []
  if (missing.length > 0) throw new Error(`${block.page}: does not print\n${missing.join('\n')}\n\n${output}`)
}

/** Returns the commands of a block. If it shows a session, they follow the prompt. */
function commandsOf({ language, text }: Block): string {
  if (language !== 'console') return text
  return text
    .split('\n')
    .flatMap((line) => (line.startsWith('$ ') ? [line.slice(2)] : []))
    .join('\n')
}

/** Returns the lines that commands printed, without what differs each time: digests, tokens, names of snapshots, numbers and widths of columns. */
function outputOf(session: string): string[] {
  return session
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('$ '))
    .map((line) =>
      Bun.stripANSI(line)
        // Of two snapshots in one second, the second one's name ends with -2.
        .replaceAll(/sha256:[0-9a-f]+|cay_\S+|\d{8}T\d{6}Z(-\d+)?/g, 'ID')
        .replaceAll(/\d+(\.\d+)?/g, '0')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    )
}

/** Runs a command on a terminal, where it answers what is asked: names, passwords and confirmations. */
async function onTerminal(command: string[], cwd: string, env: Record<string, string>) {
  let output = ''
  let asked = ''
  const child = Bun.spawn(command, {
    cwd,
    env,
    // The shell then ends what it has started.
    timeout: 120_000,
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
