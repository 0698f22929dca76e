/**
 * Attacks that once worked, replayed, and a user beside attackers on a small machine; needs root, for a control group, and
 * wrk. `NEIGHBOUR_SECONDS=6` measures each for 6 seconds instead of 2. It compares times, so it runs beside nothing else.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, writeFileSync } from 'node:fs'
import { rmdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { encode, mediaTypes, sha256 } from '../../scripts/lib/image.ts'
import { stopProcess } from '../../scripts/lib/program.ts'
import { imageManifest, manifestMediaType } from '../../scripts/lib/registry.ts'
import { eventually } from '../../scripts/lib/repeated.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'
import {
  ATTACKER,
  CHECKER,
  CONFIG,
  checkService,
  clientOf,
  described,
  exchange,
  LAYER,
  largeManifest,
  MANIFEST,
  PASSWORD,
  pushImage,
  startTarget,
  type Target,
} from './target.ts'

const MiB = 1024 * 1024
setDefaultTimeout(300_000)

/** How long a push, a pull and the sign-ins may take beside an attack. */
const serviceMillisecondsMax = 3000
/** Much more than the server holds a request up for: clients and whatever else runs take the processors, too. */
const livezMillisecondsMax = 500

describe('attacks: once they worked:', () => {
  let target: Target

  beforeAll(async () => {
    target = await startTarget()
  })
  afterAll(() => target[Symbol.asyncDispose]())

  test('two equal Content-Length headers do not stop pushes and sign-ins', async () => {
    const paths = [
      'POST /api/v1/session',
      'POST /token',
      'POST /v1/users/',
      'PUT /v2/a/manifests/1',
      'PUT /api/v1/grants',
    ]
    for (const path of paths) {
      const head = `${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n`
      const request = `${head}${'Content-Length: 27\r\n'.repeat(2)}\r\n{"name":"a","password":"b"}`
      await exchange(new URL(target.url), [Buffer.from(request)])
    }
    expect(await millisecondsOf(() => checkService(target))).toBeLessThanOrEqual(serviceMillisecondsMax)
  })

  test('of 64 guesses at once at one account, 6 are tried, and of 100 from one /64 network, 21', async () => {
    const tried = async (count: number, name: (i: number) => string, from: (i: number) => string) => {
      const guess = async (_: unknown, i: number) => {
        const json = { username: name(i), password: `wrong-${i}` }
        return (await clientOf(target.url, undefined, from(i)).send('POST', '/api/v1/session', { json }))
          .status
      }
      const statuses = await Promise.all(Array.from({ length: count }, guess))
      return statuses.filter((status) => status === 401).length
    }
    const addressIn = (i: number) => `2001:db8:1:2::${(i + 1).toString(16)}`
    expect(
      await tried(
        64,
        () => CHECKER,
        () => '203.0.113.60',
      ),
    ).toBeLessThanOrEqual(6)
    expect(await tried(100, (i) => `user${i}`, addressIn)).toBeLessThanOrEqual(21)
  })

  test('2,000 refusals with long targets leave at most 5 entries in the audit log, and push out none', async () => {
    const { attacker, admin } = target
    const path = `/api/v1/users/${'x'.repeat(60)}?${'y'.repeat(10_000)}`
    for (let count = 0; count < 2000; count += 50)
      await Promise.all(Array.from({ length: 50 }, () => attacker.send('GET', path)))
    expect((await admin.get('/api/v1/audit?limit=500')).text).toContain(CHECKER)
    const { items } = await admin.api<{ items: unknown[] }>('GET', '/audit?limit=500&kind=denied')
    expect(items.length).toBeLessThanOrEqual(5)
  })

  test('a user makes at most 1,000 grants in a namespace, which slow down no catalog or mount of others', async () => {
    const { attacker, checker } = target
    const grant = (at: number) => ({ subject: CHECKER, pattern: `${ATTACKER}/p${at}/**`, role: 'reader' })
    let made = 0
    for (let at = 0; at < 4000; at += 8) {
      const put = (_: unknown, i: number) => attacker.send('PUT', '/api/v1/grants', { json: grant(at + i) })
      made += (await Promise.all(Array.from({ length: 8 }, put))).filter(({ status }) => status < 300).length
    }
    expect(made).toBeGreaterThan(0)
    expect(made).toBeLessThanOrEqual(1000)
    await pushImage(checker, `${CHECKER}/app`)
    const mount = `/v2/${CHECKER}/other/blobs/uploads/?mount=${sha256(LAYER)}`
    expect(await millisecondsOf(() => checker.send('GET', '/v2/_catalog'))).toBeLessThanOrEqual(250)
    expect(await millisecondsOf(() => checker.send('POST', mount))).toBeLessThanOrEqual(250)
  })

  test('time does not tell a blob that is hidden from one that is absent', async () => {
    await pushImage(target.checker, `${CHECKER}/app`)
    const hidden = new TextEncoder().encode('a blob that others have')
    await target.admin.postBlob('others/app', hidden)
    const ask = (blob: Uint8Array) =>
      millisecondsOf(() => target.checker.send('GET', `/api/v1/blobs/${sha256(blob)}`))
    const [found, absent] = await fastest(400, [() => ask(hidden), () => ask(new Uint8Array([1]))])
    expect(Math.abs(found - absent)).toBeLessThanOrEqual(0.1)
  })

  test('time does not tell an account that was imported with bcrypt from none', async () => {
    const passwordHash = await Bun.password.hash(PASSWORD, { algorithm: 'bcrypt', cost: 10 })
    for (const n of [0, 1, 2, 3]) await target.admin.api('PUT', `/users/imported-${n}`, { passwordHash })
    let tries = 0
    const guess = (name: string) => {
      const n = tries++
      const client = clientOf(target.url, `${name}-${n % 4}`, `192.0.2.${n}`, `guess-${n}`)
      return millisecondsOf(() => client.send('GET', '/v2/'))
    }
    const [imported, nobody] = await fastest(16, [() => guess('imported'), () => guess('nobody')])
    expect(Math.abs(imported - nobody)).toBeLessThanOrEqual(40)
  })
})

/** Returns the fastest of two measures that take turns: what else runs slows some of them down. */
async function fastest(
  times: number,
  measures: [() => Promise<number>, () => Promise<number>],
): Promise<[number, number]> {
  const taken: [number[], number[]] = [[], []]
  for (let n = 0; n < times; n++) {
    taken[0].push(await measures[0]())
    taken[1].push(await measures[1]())
  }
  return [Math.min(...taken[0]), Math.min(...taken[1])]
}

/** Returns how long something takes, in milliseconds. */
async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** A request that an attacker repeats. Each `%n` in it is replaced by the number of the turn, up to 249. */
interface Repeated {
  method?: string
  path: string
  headers?: Record<string, string>
  /** With `%n`, at most 1 KiB. */
  body?: string | Uint8Array
}

/** What an attacker sends, in turn, on so many connections. */
interface Attack {
  requests: Repeated[]
  connections?: number
}

const REPOSITORY = `${ATTACKER}/app`
const RESOURCE = `/api/v1/repositories/${encodeURIComponent(REPOSITORY)}`
const JSON_TYPE = { 'content-type': 'application/json' }
const SCHEMA1 = { accept: 'application/vnd.docker.distribution.manifest.v1+prettyjws' }
const WATCHED = { pushes: 300, tags: 100 }

/** Attackers of each kind, by name: what they prepare, and then repeat. */
const ATTACKERS: Record<string, (target: Target) => Promise<Attack>> = {
  async 'the display of a manifest with 49,000 annotations'({ attacker }) {
    await attacker.pushManifest(REPOSITORY, 'large', largeManifest())
    return { requests: [{ path: `${RESOURCE}/manifests/large` }] }
  },

  async 'pushes of manifests with 49,000 annotations'() {
    return { requests: [put(`/v2/${REPOSITORY}/manifests/l%n`, manifestMediaType, largeManifest())] }
  },

  async 'pushes of indexes with 12,000 entries'() {
    const bodies = Array.from({ length: 40 }, (_, at) => largeIndex(String(at)))
    return { requests: bodies.map((body) => put(`/v2/${REPOSITORY}/manifests/i%n`, mediaTypes.index, body)) }
  },

  async 'lists of 12,000 referrers'({ attacker }) {
    const subject = sha256(MANIFEST)
    const tag = subject.replace(':', '-')
    // Large indexes of others may still be in work.
    await eventually(() => attacker.pushManifest(REPOSITORY, tag, largeIndex(), mediaTypes.index))
    const paths = [`/v2/${REPOSITORY}/referrers/${subject}`, `${RESOURCE}/manifests/latest/referrers`]
    return { requests: paths.map((path) => ({ path })) }
  },

  async 'conversions of an image with a config of 1 MB'({ attacker }) {
    const config = largeConfig()
    await attacker.postBlob(REPOSITORY, config)
    const body = imageManifest(described(config), [described(LAYER)], 'to convert')
    const path = `/v2/${REPOSITORY}/manifests/c%n`
    return { requests: [put(path, manifestMediaType, body), { path, headers: SCHEMA1 }] }
  },

  async grants() {
    const grant = { subject: 'x', pattern: `${ATTACKER}/p%n/**`, role: 'reader' }
    return { requests: [put('/api/v1/grants', 'application/json', JSON.stringify(grant))] }
  },

  async 'guesses at passwords'() {
    const body = JSON.stringify({ username: 'user%n', password: 'wrong-%n' })
    const headers = { ...JSON_TYPE, authorization: '', 'x-forwarded-for': '203.0.113.%n' }
    return { requests: [{ method: 'POST', path: '/api/v1/session', headers, body }] }
  },

  async 'refused requests with long targets'() {
    return { requests: [{ path: `/api/v1/users/someone?${'y'.repeat(10_000)}` }] }
  },

  async 'uploads of 4 MiB'() {
    const bodies = Array.from({ length: 24 }, () => crypto.getRandomValues(new Uint8Array(65_536)))
    return {
      requests: bodies.map((bytes) => {
        const body = new Uint8Array(Buffer.alloc(4 * MiB, bytes))
        return { method: 'POST', path: `/v2/${REPOSITORY}/blobs/uploads/?digest=${sha256(body)}`, body }
      }),
    }
  },

  async 'lists of 300 manifests'({ attacker }) {
    for (let n = 0; n < 300; n++)
      await attacker.pushManifest(REPOSITORY, `t${n}`, imageManifest(described(CONFIG), [], `tag ${n}`))
    return { requests: [{ path: `${RESOURCE}/manifests?limit=500` }] }
  },

  async 'streams of 30,000 changes that the watcher may not see'({ checker }) {
    const tags = Array.from({ length: WATCHED.tags }, (_, at) => `tag=t${at}`).join('&')
    for (let count = 0; count < WATCHED.pushes; count++)
      await checker.pushManifest(`${CHECKER}/app`, `${sha256(MANIFEST)}?${tags}`, MANIFEST)
    return { requests: [{ path: '/api/v1/events/watch?after=1' }], connections: 20 }
  },

  async '256 bodies of which a byte comes now and then'() {
    return { requests: [] }
  },
}

function put(path: string, type: string, body: string | Uint8Array): Repeated {
  return { method: 'PUT', path, headers: { 'content-type': type }, body }
}

/** Returns an index with as many entries as there may be. */
function largeIndex(note = ''): string {
  const digests = Array.from({ length: 12_000 }, (_, at) => sha256(new TextEncoder().encode(String(at))))
  const manifests = digests.map((digest) => ({ mediaType: mediaTypes.index, digest, size: 1 }))
  return JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests, annotations: { note } })
}

/** Returns a config of almost 1 MB, for an image of one layer. */
function largeConfig(): Uint8Array {
  const history = Array.from({ length: 1900 }, (_, i) => ({
    created_by: `RUN ${i} ${'x'.repeat(450)}`,
    empty_layer: i > 0,
  }))
  const rootfs = { type: 'layers', diff_ids: [sha256(LAYER)] }
  return encode({ architecture: 'amd64', os: 'linux', rootfs, history })
}

describe('neighbours: on one processor with 512 MB, a user keeps half of its rate beside', () => {
  const seconds = Number(process.env.NEIGHBOUR_SECONDS ?? 2)
  /** Other load on the machine only adds to a measurement, so one good one is enough. */
  const attempts = 3
  let machine: SmallMachine
  let target: Target

  beforeAll(async () => {
    await bringTools(['wrk'])
    machine = await smallMachine()
    target = await startTarget({ executable: machine.executable, logLinesMax: 20 })
    await pushImage(target.attacker, REPOSITORY)
  })
  afterAll(async () => {
    await target[Symbol.asyncDispose]()
    await machine[Symbol.asyncDispose]()
  })

  test.each(Object.keys(ATTACKERS))('%s', async (name) => {
    const attack = await ATTACKERS[name]!(target)
    for (let attempt = 1; ; attempt++) {
      await checkService(target)
      const alone = await userRates(target, seconds)
      const attacking = attack.requests.length > 0 ? await startWrk(target, attack) : slowClients(target)
      const beside = await userRates(target, seconds)
      const service = await millisecondsOf(() => checkService(target))
      await attacking.stop()
      const [pushes, pulls] = [beside.pushes / alone.pushes, beside.pulls / alone.pulls]
      const isFair = Math.min(pushes, pulls) >= 0.5
      if (isFair && beside.livez <= livezMillisecondsMax && service <= serviceMillisecondsMax) return
      const said = JSON.stringify({ alone, beside, service })
      if (attempt === attempts) throw new Error(said)
      console.log(`again: ${said}`)
    }
  })
})

/** Returns how often a user pushes and pulls with two clients each, and the longest `/livez` in milliseconds. */
async function userRates({ checker, nobody }: Target, seconds: number) {
  const until = performance.now() + seconds * 1000
  const rates = { pushes: 0, pulls: 0, livez: 0 }
  const repeat = async (act: () => Promise<unknown>) => {
    while (performance.now() < until) {
      await act()
      // The user's clients have something else to do, too.
      await Bun.sleep(20)
    }
  }
  const push = () => pushImage(checker, `${CHECKER}/app`, `t${rates.pushes++ % 50}`)
  const pull = async () => {
    await checker.get(`/v2/${CHECKER}/app/manifests/latest`, { accept: manifestMediaType })
    await checker.pullBlob(`${CHECKER}/app`, sha256(LAYER))
    rates.pulls++
  }
  const look = async () => {
    rates.livez = Math.max(rates.livez, await millisecondsOf(() => nobody.get('/livez')))
  }
  await Promise.all([push, push, pull, pull, look].map(repeat))
  return rates
}

/** Replaces `%n` by the number of a turn, in all of a request but a large body. */
const LUA = `
local list, count = {}, 0
-- wrk cannot connect while many files are open.
local function read(path)
  local file = io.open(path, 'rb')
  local bytes = file:read('*a')
  file:close()
  return bytes
end
function request()
  local one = list[count % #list + 1]
  local n, headers = tostring(math.floor(count / #list) % 250), {}
  local function numbered(text) return (text:gsub('%%n', n)) end
  for name, value in pairs(one.headers) do headers[name] = numbered(value) end
  count = count + 1
  return wrk.format(one.method, numbered(one.path), headers, #one.body < 1024 and numbered(one.body) or one.body)
end
`

/** Repeats an attack by wrk, as the attacker's account, until it is stopped. */
async function startWrk({ url }: Target, { requests, connections = 4 }: Attack) {
  const folder = await temporaryFolder('wrk')
  const rows = requests.map(({ method = 'GET', path, headers, body = '' }, at) => {
    const file = join(folder.path, String(at))
    writeFileSync(file, body)
    const own = Object.entries({ authorization: `Basic ${btoa(`${ATTACKER}:${PASSWORD}`)}`, ...headers })
    const pairs = own.map(([name, value]) => `["${name}"] = ${JSON.stringify(value)}`)
    const fields = `method = "${method}", path = ${JSON.stringify(path)}, headers = {${pairs}}`
    return `table.insert(list, {${fields}, body = read("${file}")})`
  })
  const script = join(folder.path, 'attack.lua')
  writeFileSync(script, LUA + rows.join('\n'))
  const command = ['wrk', '-t1', `-c${connections}`, '-d600s', '-s', script, url]
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'pipe' })
  return {
    async stop() {
      await stopProcess(child, 'SIGINT')
      await folder[Symbol.asyncDispose]()
      // An attack that does not reach the server would show nothing.
      expect(await child.stdout.text()).toMatch(/Transfer\/sec: +\d*[1-9]|Transfer\/sec: +0\.\d*[1-9]/)
    },
  }
}

/** Opens connections of which each sends a byte of a form now and then, until they are stopped. */
function slowClients({ server }: Target): { stop(): Promise<void> } {
  const head =
    'POST /token HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Type: application/x-www-form-urlencoded\r\n'
  const sockets = Array.from({ length: 256 }, (): Socket => {
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`${head}Content-Length: 65536\r\n\r\n`)
    return socket
  })
  const timer = setInterval(() => {
    for (const socket of sockets) socket.write('a')
  }, 500)
  return {
    async stop() {
      clearInterval(timer)
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** An executable that runs cay with 512 MB and one processor. */
interface SmallMachine extends AsyncDisposable {
  executable: string
}

/** Gives cay one processor, and the memory by a control group (version 1 or 2) where one can be made. */
async function smallMachine(): Promise<SmallMachine> {
  const cay = process.env.CAY_EXECUTABLE ?? (await build())
  const folder = await temporaryFolder('small')
  const isSecond = existsSync('/sys/fs/cgroup/cgroup.controllers')
  const group = join('/sys/fs/cgroup', isSecond ? '' : 'memory', `cay-attacks-${process.pid}`)
  const limit = join(group, isSecond ? 'memory.max' : 'memory.limit_in_bytes')
  const executable = join(folder.path, 'cay')
  const limited = `mkdir ${group} && echo ${512 * MiB} > ${limit} && echo $$ > ${group}/cgroup.procs`
  writeFileSync(executable, `#!/bin/sh\n(${limited}) 2>/dev/null\nexec taskset -c 0 ${cay} "$@"\n`, {
    mode: 0o755,
  })
  return {
    executable,
    async [Symbol.asyncDispose]() {
      await rmdir(group).catch(() => {})
      await folder[Symbol.asyncDispose]()
    },
  }
}
