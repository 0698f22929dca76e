import { expect, test } from 'bun:test'
import { type Arrival, FrontDoor, OutgoingBodies } from '../../src/http/front-door.ts'

const MiB = 1024 * 1024

/** A client's request, whose response is being sent until `isOpen` is set to false. */
class Requested implements Arrival {
  readonly request: Request
  readonly client: () => string | undefined
  open = true
  looks = 0

  constructor(client: string | undefined, path = '/v2/', method = 'GET') {
    this.client = () => client
    this.request = new Request(`http://localhost${path}`, { method })
  }

  readonly origin = () => 'http://localhost'
  readonly isOpen = () => {
    this.looks++
    return this.open
  }
}

const sized = (bytes: number, more: Record<string, string> = {}) =>
  new Response(null, { headers: { 'content-length': String(bytes), ...more } })

const blob = sized(MiB, { 'accept-ranges': 'bytes' })

test('outgoing bodies: one client is sent 32 MiB from memory at once, and again after it has read one', () => {
  const bodies = new OutgoingBodies(1024)
  const begun = Array.from({ length: 8 }, () => new Requested('192.0.2.1'))
  const begin = (arrival: Requested) => bodies.begin(arrival, sized(4 * MiB))
  expect(begun.map(begin)).toEqual(Array(8).fill(undefined))
  expect(begin(new Requested('192.0.2.1'))).toMatchObject({ status: 429, headers: { 'retry-after': '1' } })
  expect(begin(new Requested('192.0.2.2'))).toBeUndefined()
  if (begun[0]) begun[0].open = false
  expect(begin(new Requested('192.0.2.1'))).toBeUndefined()
})

test('outgoing bodies: all clients together are sent 128 MiB from memory at once', () => {
  const bodies = new OutgoingBodies(1024)
  const begin = (at: number) => bodies.begin(new Requested(`192.0.2.${at}`), sized(4 * MiB))?.status
  const statuses = Array.from({ length: 33 }, (_, at) => begin(at))
  expect(statuses).toEqual([...Array(32).fill(undefined), 503])
})

test('outgoing bodies: blobs take no memory, and small bodies and responses to HEAD do not count at all', () => {
  const bodies = new OutgoingBodies(200)
  const statuses = (response: Response, method = 'GET') =>
    Array.from(
      { length: 200 },
      () => bodies.begin(new Requested('192.0.2.1', '/v2/', method), response)?.status,
    )
  for (const [response, method] of [[blob], [sized(9000)], [blob, 'HEAD'], [sized(4 * MiB), 'HEAD']] as const)
    expect(statuses(response, method)).toEqual(Array(200).fill(undefined))
})

test('outgoing bodies: one client is sent so many responses at once, a client that is not counted more', () => {
  const bodies = new OutgoingBodies(200)
  const begin = (client: string | undefined) => bodies.begin(new Requested(client), blob)?.status
  const statuses = Array.from({ length: 300 }, () => begin('192.0.2.1'))
  expect(statuses.indexOf(429)).toBe(200)
  expect([begin('192.0.2.2'), begin(undefined)]).toEqual([undefined, undefined])
})

test('outgoing bodies: looking for ended responses costs a bounded number of look-ups for each, also for one at its limit', () => {
  const bodies = new OutgoingBodies(1024)
  const begun = Array.from({ length: 10_000 }, (_, at) => {
    const arrival = new Requested(`client ${at}`)
    arrival.open = at % 10 === 0
    bodies.begin(arrival, blob)
    return arrival
  })
  const looks = () => begun.reduce((sum, { looks }) => sum + looks, 0)
  expect(looks()).toBeLessThan(2 * begun.length)
  const before = looks()
  for (let count = 0; count < 2048; count++) bodies.begin(new Requested('a slow one'), blob)
  expect(looks() - before).toBeLessThan(10 * 2048)
})

test('outgoing bodies: a body without Content-Length is measured, and an event stream is not read', async () => {
  const door = new FrontDoor({ requestsPerClientMax: 8, hosts: undefined, hstsSeconds: 0 })
  const statuses: number[] = []
  for (let count = 0; count < 5; count++) {
    const body = 'x'.repeat(10 * MiB)
    const sent = await door.admit(new Requested('192.0.2.1'), () => Response.json(body))
    statuses.push(sent.status)
  }
  expect(statuses).toEqual([200, 200, 200, 429, 429])
  const endless = new ReadableStream({ pull: () => new Promise(() => {}) })
  const headers = { 'content-type': 'text/event-stream' }
  const events = await door.admit(new Requested('192.0.2.2'), () => new Response(endless, { headers }))
  expect(events.headers.get('content-length')).toBeNull()
})

test('outgoing bodies: a client at its limit is refused before the response is read, until it has read one', async () => {
  const door = new FrontDoor({ requestsPerClientMax: 256, hosts: undefined, hstsSeconds: 0 })
  let reads = 0
  const ask = async (arrival: Requested) => {
    const { status } = await door.admit(arrival, () => {
      reads++
      return sized(4 * MiB)
    })
    return status
  }
  const manifest = (client: string) => new Requested(client, '/v2/app/manifests/large')
  const begun = Array.from({ length: 8 }, () => manifest('192.0.2.1'))
  for (const arrival of begun) expect(await ask(arrival)).toBe(200)
  for (let count = 0; count < 100; count++) expect(await ask(manifest('192.0.2.1'))).toBe(429)
  expect(reads).toBe(9)
  expect(await ask(manifest('192.0.2.2'))).toBe(200)
  for (const arrival of begun.slice(0, 2)) arrival.open = false
  const again = []
  for (let count = 0; count < 3; count++) again.push(await ask(manifest('192.0.2.1')))
  expect(again).toContain(200)
})

test('outgoing bodies: at the total limit, a response is refused before it is read again, until another was read', async () => {
  const door = new FrontDoor({ requestsPerClientMax: 256, hosts: undefined, hstsSeconds: 0 })
  let reads = 0
  const ask = async (arrival: Requested, bytes = 4 * MiB) => {
    const { status } = await door.admit(arrival, () => {
      reads++
      return sized(bytes)
    })
    return status
  }
  const manifest = (client: string, tag = 'large') => new Requested(client, `/v2/app/manifests/${tag}`)
  const begun = Array.from({ length: 32 }, (_, at) => manifest(`192.0.2.${at % 8}`))
  for (const arrival of begun) expect(await ask(arrival)).toBe(200)
  for (let count = 0; count < 100; count++) expect(await ask(manifest('192.0.2.100'))).toBe(503)
  expect(reads).toBe(33)
  expect(await ask(manifest('192.0.2.100', 'small'), 1000)).toBe(200)
  expect(await ask(manifest('192.0.2.101'), 1000)).toBe(200)
  if (begun[0]) begun[0].open = false
  const again = []
  for (let count = 0; count < 8; count++) again.push(await ask(manifest('192.0.2.100')))
  expect(again).toContain(200)
})

test('outgoing bodies: a client at its limit can still sign in, push and pull blobs', async () => {
  const door = new FrontDoor({ requestsPerClientMax: 256, hosts: undefined, hstsSeconds: 0 })
  const ask = async (path: string, method: string, response: Response) => {
    const { status } = await door.admit(new Requested('192.0.2.1', path, method), () => response)
    return status
  }
  const large: number[] = []
  for (let count = 0; count < 10; count++)
    large.push(await ask('/v2/app/manifests/large', 'GET', sized(4 * MiB)))
  expect(large).toEqual([...Array(8).fill(200), 429, 429])
  expect(await ask('/v2/app/blobs/sha256:abc', 'GET', blob)).toBe(200)
  expect(await ask('/v2/app/manifests/large', 'HEAD', sized(1))).toBe(200)
  expect(await ask('/v2/app/manifests/1', 'PUT', sized(1))).toBe(200)
  for (const path of ['/v2/', '/token', '/livez']) expect(await ask(path, 'GET', sized(1))).toBe(200)
})

test('outgoing bodies: releasing memory looks once at each response, and keeps those that are being sent', () => {
  const bodies = new OutgoingBodies(1)
  const [done, open] = [new Requested('192.0.2.1'), new Requested('192.0.2.2')]
  for (const one of [done, open]) bodies.begin(one, sized(10 * MiB))
  done.open = false
  bodies.releaseMemory()
  bodies.releaseMemory()
  expect([done.looks, open.looks]).toEqual([1, 2])
  expect(bodies.begin(new Requested('192.0.2.2'), sized(25 * MiB))).toMatchObject({ status: 429 })
})
