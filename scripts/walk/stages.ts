import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { makeImage, sha256, writeLayout } from '../lib/image.ts'
import { type Desk, PASSWORD } from './desk.ts'
import { type Guide, helpGuide, readmeGuide } from './guide.ts'
import type { Host, HostName } from './network.ts'
import { audit, keep, undo } from './operation.ts'
import { pushFromCi, pushFromLaptop } from './pushes.ts'
import { Terminal, type Transcript } from './transcript.ts'
import { serveTeam } from './trust.ts'

export interface WalkContext extends Record<HostName, Host> {
  executable: string
  transcript: Transcript
}

/** Walks from the first command of a guide to the last. */
export async function walkAlong(name: Guide['name'], context: WalkContext): Promise<void> {
  const { transcript } = context
  transcript.hide(PASSWORD, 'PASSWORD')
  await prepare(context)
  await using stack = new AsyncDisposableStack()
  const open = async (host: Host) => stack.use(await Terminal.open(host, transcript))
  const server = await open(context.server)
  const guide = await install(name, server)
  const [serving, laptop, ci] = [
    await open(context.server),
    await open(context.laptop),
    await open(context.ci),
  ]
  const desk: Desk = { guide, transcript, serving, server, laptop, ci }
  await startFirst(desk)
  await serveTeam(desk)
  const token = await addAccounts(desk)
  await pushFromLaptop(desk)
  await pushFromCi(desk, token)
  await audit(desk)
  await undo(desk)
  await keep(desk)
}

/** Puts what is downloaded and built elsewhere on each host. */
async function prepare({ server, laptop, ci, executable }: WalkContext): Promise<void> {
  const home = ({ machine, user }: Host) => join(machine.root, 'home', user)
  const download = join(home(server), 'cay-linux-x64')
  await copyFile(executable, download)
  const sums = [
    `${sha256(await Bun.file(download).bytes()).slice(7)}  cay-linux-x64`,
    `${'0'.repeat(64)}  cay.exe`,
  ]
  await Bun.write(join(home(server), 'SHA256SUMS'), `${sums.join('\n')}\n`)
  const hash = await Bun.password.hash(PASSWORD, { algorithm: 'bcrypt', cost: 5 })
  await Bun.write(join(home(server), 'htpasswd'), `bob:${hash.replace('$2b$', '$2y$')}\n`)
  const image = await makeImage({ layerCount: 2, layerBytes: 128 * 1024 })
  for (const host of [laptop, ci]) await writeLayout(join(home(host), 'layout'), image, '1.0')
  // Disks that belong to the owner of the server.
  await server.machine.run('mkdir', '-p', '/mnt/backup', '/srv')
  await server.machine.run('chown', 'ops:', '/mnt/backup', '/srv')
  for (const { machine, user } of [server, laptop, ci])
    await machine.run('chown', '--recursive', `${user}:`, `/home/${user}`)
}

/** Puts the executable where the shell finds it, and returns the guide. */
async function install(name: Guide['name'], server: Terminal): Promise<Guide> {
  const readme = await readmeGuide()
  if (name === 'readme') {
    server.transcript.heading('Install a release')
    const outcomes: Record<string, RegExp> = {
      sha256sum: /^cay-linux-x64: OK$/m,
      'cay --version': /^cay \d/m,
    }
    for (const line of readme.block('sha256sum --check'))
      await server.type(line, { shows: shownBy(outcomes, line) })
    return readme
  }
  server.transcript.heading('The executable is where the shell finds it')
  await server.type(readme.command('sudo install -m 755 cay-linux-x64'))
  return helpGuide(await server.type('cay help', { shows: /^First steps:$/m, lines: 200 }))
}

/** Returns what a line must print, by its first words. */
function shownBy(outcomes: Record<string, RegExp>, line: string): RegExp {
  return Object.entries(outcomes).find(([begins]) => line.startsWith(begins))?.[1] ?? /^/
}

async function startFirst({ guide, transcript, serving, server }: Desk): Promise<void> {
  transcript.heading('First start')
  const shown = await serving.start(guide.command('cay serve'), /listening.*\[::1\]:5000/)
  const [, first = ''] = /password (\S+)/.exec(shown) ?? []
  if (first === '') throw new Error(`the first start prints no password:\n${shown}`)
  transcript.hide(first, 'PASSWORD')
  transcript.output(shown)
  const answers = [PASSWORD, PASSWORD]
  await server.type(guide.command('cay user passwd admin'), {
    answers,
    shows: /changed the password of admin/,
  })
  await server.type('cay health', { shows: /^ok$/m })
}

/** Creates users, a robot, a group and grants, and returns the robot's token. */
async function addAccounts({ guide, transcript, server }: Desk): Promise<string> {
  transcript.heading('Users, robots, groups and grants')
  const answers = [PASSWORD, PASSWORD]
  let token = ''
  const outcomes: Record<string, RegExp> = {
    'cay user create alice': /^created user alice$/m,
    'cay robot create alice+ci': /^created robot alice\+ci; its token: cay_\S+$/m,
    'cay grant create alice+ci': /^alice\+ci has the role writer on alice\/\*\*$/m,
    'cay group create team': /^created group team$/m,
    'cay access alice+ci': /alice\+ci can/,
    'cay access team/app': /^admin +admin +server admin$/m,
  }
  const typed: string[] = []
  for (const line of guide.block('cay user create alice')) {
    // The other lines of this paragraph of `cay help` are other stages.
    if (!/^cay (user|robot|grant|group|token|access|key)\b/.test(line)) continue
    const output = await server.type(line, { answers, shows: shownBy(outcomes, line) })
    token = /cay_[\w-]+/.exec(line.startsWith('cay robot create') ? output : '')?.[0] ?? token
    typed.push(line)
  }
  const left = Object.keys(outcomes).filter((begins) => !typed.some((line) => line.startsWith(begins)))
  // `cay help` leaves groups to the help of the command.
  if (guide.name === 'help') {
    await server.type('cay help group', { shows: /create NAME[\s\S]*join GROUP ACCOUNTS/ })
    await server.type('cay group create team', { shows: outcomes['cay group create team'] ?? /^/ })
    await server.type('cay group join team alice', { shows: /added alice to group team/ })
    await server.type('cay grant create --help', { shows: /group:NAME/ })
    await server.type("cay grant create group:team 'team/**' writer")
    await server.type('cay access alice+ci alice/app', { shows: /alice\+ci can: +pull, push/ })
  } else if (left.length > 0) throw new Error(`${guide.name} does not name ${left.join(', ')}`)
  return token
}
