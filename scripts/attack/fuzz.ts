import { parseArgs } from 'node:util'
import { processUsage } from '../lib/process-usage.ts'
import { Random } from '../soak/random.ts'
import { largeManifest } from './describing.ts'
import { type Attack, mutate } from './mutation.ts'
import { exchange, type RawAnswer } from './raw-exchange.ts'
import { type Recorded, recordRequests, renew } from './recorded.ts'
import { ATTACKER, CHECKER, checkService, PASSWORD, startTarget, type Target } from './target.ts'

const MiB = 1024 * 1024
const CONNECTIONS = 32

/** What a server that is full or too busy answers; 505 is Bun's answer to a first line that is malformed. */
const ALLOWED = [501, 503, 505, 507]

/** Memory that the server may have kept at the end. */
const KEPT_BYTES_MAX = 30 * MiB

/** A server returns memory that it does not need when it has been idle for 30 to 50 seconds, so it is measured later. */
const IDLE_SECONDS = 70

/** How long a server is busy before it is fuzzed. */
const WARM_SECONDS = 30

/** What a cache keeps by its setting is no leak, so it is to keep little. */
const SMALL_CACHE = ['--manifests-cache-bytes-max', String(MiB)]

const FINDINGS_MAX = 20

/** What a run has sent and found. */
interface Fuzz {
  random: Random
  sent: number
  /** By the status of the first answer, 0 for none. */
  statuses: Map<number, number>
  findings: string[]
}

/** A server that is fuzzed, over HTTP or over TLS, and good requests to it. */
interface Fuzzed {
  target: Target
  recorded: Recorded[]
  /** The memory of the idle server before the first attack, in bytes. */
  rssBefore: number
}

/**
 * `attack fuzz [--minutes 5] [--seed <number>]`: mutated requests on raw sockets, over HTTP and TLS, to every surface. After
 * each minute a push, a pull and the sign-ins must work, and at the end the memory must be what it was.
 * @throws Error with each answer of 5xx, each request that hangs, and the seed
 */
export async function fuzz(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } },
  })
  const minutes = Number(values.minutes)
  const seed = Number(values.seed ?? crypto.getRandomValues(new Uint32Array(1))[0])
  if (!(minutes > 0) || !Number.isInteger(seed))
    throw new Error('usage: attack fuzz [--minutes 5] [--seed <number>]')
  console.log(`fuzz: ${minutes} minutes, ${CONNECTIONS} connections, seed ${seed}`)
  const run: Fuzz = { random: new Random(seed), sent: 0, statuses: new Map(), findings: [] }
  await using plain = await startTarget({ logLinesMax: 5000, args: SMALL_CACHE })
  await using tls = await startTarget({ logLinesMax: 5000, args: ['--tls', 'auto', ...SMALL_CACHE] })
  const servers = await Promise.all([prepare(plain), prepare(tls)])
  await Bun.sleep(IDLE_SECONDS * 1000)
  for (const server of servers) server.rssBefore = memoryOf(server)
  for (let minute = 1; minute <= Math.ceil(minutes); minute++) {
    const until = performance.now() + Math.min(1, minutes - minute + 1) * 60_000
    await Promise.all(Array.from({ length: CONNECTIONS }, (_, at) => attackUntil(run, servers, at, until)))
    for (const { target } of servers) await checkService(target)
    const rss = servers.map((server) => rounded(memoryOf(server)))
    console.log(
      `minute ${minute}: ${run.sent} requests, ${rss.join(' and ')}, ${run.findings.length} findings`,
    )
    if (run.findings.length >= FINDINGS_MAX) break
  }
  await Bun.sleep(IDLE_SECONDS * 1000)
  for (const server of servers) checkMemory(run, server)
  const statuses = [...run.statuses]
    .sort(([a], [b]) => a - b)
    .map(([status, count]) => `${status || 'none'}: ${count}`)
  console.log(`answers ${statuses.join(', ')}`)
  if (run.findings.length > 0)
    throw new Error(`${run.findings.length} findings of attack fuzz --seed ${seed}`)
  console.log(`${run.sent} requests, ${run.findings.length} findings`)
}

/**
 * Makes a server ready. It serves each request as it should be for a while, as a user and as an admin, because it loads
 * much of its code at first use. A cold server would seem to keep what each server needs.
 */
async function prepare(target: Target): Promise<Fuzzed> {
  await target.admin.api('PUT', '/users/operator', { password: PASSWORD, admin: true })
  const operator = await target.admin.api<{ secret: string }>('POST', '/accounts/operator/tokens', {
    name: 'fuzz',
  })
  const asUser = await recordRequests(target)
  const asOperator = asUser.map((request) => ({
    ...request,
    headers: request.headers.map(([name, value]): [string, string] =>
      name === 'Authorization' ? [name, `Bearer ${operator.secret}`] : [name, value],
    ),
  }))
  const recorded = [...asUser, ...asOperator]
  const url = new URL(target.url)
  const until = performance.now() + WARM_SECONDS * 1000
  const warm = async () => {
    do {
      const requests = (await restore(target, recorded)) ?? recorded
      for (const request of requests) await exchange(url, asRecorded(request))
    } while (performance.now() < until)
  }
  await Promise.all(Array.from({ length: CONNECTIONS / 2 }, warm))
  await target.attacker.putManifest(`${ATTACKER}/app`, 'large', largeManifest())
  await checkService(target)
  return { target, recorded, rssBefore: 0 }
}

function asRecorded({ method, target, headers, body }: Recorded): Uint8Array[] {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return [new Uint8Array(Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines}\r\n`)), body]
}

async function attackUntil(run: Fuzz, servers: Fuzzed[], at: number, until: number): Promise<void> {
  const random = run.random.fork()
  const { target, recorded } = servers[at % servers.length] as Fuzzed
  let requests = recorded
  for (let count = 0; performance.now() < until && run.findings.length < FINDINGS_MAX; count++) {
    if (count % 100 === 0) requests = (await restore(target, recorded)) ?? requests
    const attack = mutate(random.pick(requests) as Recorded, requests, random)
    if (Buffer.concat(attack.parts).includes(CHECKER)) continue
    const answer = await exchange(new URL(target.url), attack.parts, attack.isReset)
    run.sent++
    const [status = 0] = answer.statuses
    run.statuses.set(status, (run.statuses.get(status) ?? 0) + 1)
    const fault = faultOf(answer)
    if (fault === undefined) continue
    run.findings.push(`${fault}\n${shown(attack)}\n${causeOf(target, answer)}`)
    console.log(run.findings.at(-1))
  }
}

/** What the requests are about, again, as others of them delete it. */
async function restore(target: Target, recorded: readonly Recorded[]): Promise<Recorded[] | undefined> {
  try {
    await target.admin.api('PUT', `/users/${ATTACKER}`, { password: PASSWORD })
    return await renew(target, recorded)
  } catch {
    // They lock what is restored, too; the next time it works.
    return undefined
  }
}

function faultOf({ statuses, isHang }: RawAnswer): string | undefined {
  if (isHang) return 'no answer, and the connection stays open'
  const failed = statuses.find((status) => status >= 500 && !ALLOWED.includes(status))
  return failed === undefined ? undefined : `answered ${failed}`
}

/** The lines of the server's log about the request. */
function causeOf({ server }: Target, { text }: RawAnswer): string {
  const id = /x-request-id: (\S+)/i.exec(text.slice(text.search(/HTTP\/1\.1 5/)))?.[1]
  const lines = server
    .log()
    .split('\n')
    .filter((line) => id !== undefined && line.includes(id))
  return lines.join('\n').slice(0, 1500)
}

function shown({ parts }: Attack): string {
  const text = JSON.stringify(Buffer.concat(parts).toString('latin1'))
  return text.length > 1500 ? `${text.slice(0, 1000)} ... ${text.length} characters` : text
}

function checkMemory(run: Fuzz, server: Fuzzed): void {
  const rss = memoryOf(server)
  const said = `${server.target.url}: ${rounded(rss)} of memory when idle, ${rounded(server.rssBefore)} before`
  console.log(said)
  if (rss > server.rssBefore + KEPT_BYTES_MAX) run.findings.push(said)
}

function memoryOf({ target }: Fuzzed): number {
  return processUsage(target.server.pid).rssBytes
}

function rounded(bytes: number): string {
  return `${(bytes / MiB).toFixed(1)} MiB`
}
