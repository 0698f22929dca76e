import { expect, test } from 'bun:test'
import type { Identity } from '../../src/access/access.ts'
import type { Bodies } from '../../src/http/body.ts'
import { clientsOf } from '../../src/http/clients.ts'
import { FrontDoor } from '../../src/http/front-door.ts'
import { Origins } from '../../src/http/origin.ts'
import type { RegistryError } from '../../src/oci/error.ts'

const MiB = 1024 * 1024

test('clients: of many requests that wait for one sign-in, those above the limit of memory are not read', async () => {
  const frontDoor = new FrontDoor({ requestsPerClientMax: 256, hosts: undefined, hstsSeconds: 0 })
  const signIn = Promise.withResolvers<Identity>()
  const clients = clientsOf(
    {
      auth: { authenticator: { authenticate: () => signIn.promise } },
      origins: new Origins({ externalUrl: undefined, trustedProxies: [], isTls: false }),
      bodies: {} as Bodies,
      frontDoor,
    },
    () => '192.0.2.1',
  )
  let reads = 0
  const ask = () => {
    const request = new Request('http://localhost/v2/app/manifests/large')
    return frontDoor.admit(clients.arrivalOf(request), async () => {
      try {
        await clients.authenticate(request)
      } catch {
        return new Response(null, { status: 429 })
      }
      reads++
      return new Response('x', { headers: { 'content-length': String(4 * MiB) } })
    })
  }
  const asked = Array.from({ length: 100 }, ask)
  signIn.resolve({} as Identity)
  const statuses = (await Promise.all(asked)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(8)
  // The first refusal is after a read; the others are before one.
  expect(reads).toBe(9)
})

/** The clients of a server, and a function that requests a large manifest from the given address. */
function largePulls() {
  const frontDoor = new FrontDoor({ requestsPerClientMax: 256, hosts: undefined, hstsSeconds: 0 })
  const peers = new WeakMap<Request, string>()
  const clients = clientsOf(
    {
      auth: { authenticator: { authenticate: () => ({}) as Identity } },
      origins: new Origins({ externalUrl: undefined, trustedProxies: [], isTls: false }),
      bodies: {} as Bodies,
      frontDoor,
    },
    (request) => peers.get(request) ?? '',
  )
  let reads = 0
  const pull = (peer: string, path = 'large') => {
    const request = new Request(`http://localhost/v2/app/manifests/${path}`)
    peers.set(request, peer)
    const response = frontDoor.admit(clients.arrivalOf(request), async () => {
      try {
        await clients.beforeLarge(request, 4 * MiB)
      } catch (error) {
        return new Response(null, { status: (error as RegistryError).status })
      }
      reads++
      return new Response('x', { headers: { 'content-length': String(4 * MiB) } })
    })
    return { response, disconnect: () => peers.delete(request) }
  }
  return { pull, reads: () => reads }
}

test('clients: a large manifest is not read for a client that disconnects while it waits', async () => {
  const { pull, reads } = largePulls()
  const pulls = Array.from({ length: 6 }, () => pull('192.0.2.1'))
  for (const { disconnect } of pulls.slice(2)) disconnect()
  await Promise.all(pulls.map(({ response }) => response))
  expect(reads()).toBe(2)
})

test('clients: at the total limit a large manifest is refused before it is read, at the first request, too', async () => {
  const { pull, reads } = largePulls()
  const pulls = Array.from({ length: 40 }, (_, at) => pull(`192.0.2.${at}`, `large${at}`))
  const statuses = await Promise.all(pulls.map(async ({ response }) => (await response).status))
  expect(statuses).toEqual([...Array(32).fill(200), ...Array(8).fill(503)])
  expect(reads()).toBe(32)
})
