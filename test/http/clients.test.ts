import { expect, test } from 'bun:test'
import type { Identity } from '../../src/domain/access.ts'
import { clientsOf } from '../../src/http/clients.ts'
import { FrontDoor } from '../../src/http/listener/front-door.ts'
import type { Bodies } from '../../src/http/request/bodies.ts'
import { Origins } from '../../src/http/request/origin.ts'

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
