import type { Identity } from '../domain/access.ts'
import { once } from '../lazily.ts'
import type { Arrival } from './listener/arrival.ts'
import type { Bodies } from './request/bodies.ts'
import type { BodySource } from './request/body-reader.ts'
import type { Origins } from './request/origin.ts'
import { requestIds } from './request-log.ts'

type Authenticate = (header: string | null, addressOf: () => string) => Identity | Promise<Identity>

export interface ClientsOptions {
  auth: { authenticator: { authenticate: Authenticate } }
  origins: Origins
  bodies: Bodies
}

/** Returns functions that read requests and identify their senders. */
export function clientsOf({ auth, origins, bodies }: ClientsOptions, peerOf: (request: Request) => string) {
  const addressOf = (request: Request): string => origins.clientOf(request, peerOf(request))
  const originOf = (request: Request): string => origins.of(request, peerOf(request))
  const clientOf = (request: Request) => origins.countedAs(addressOf(request))
  return {
    addressOf,
    arrivalOf: (request: Request): Arrival => ({
      request,
      client: once(() => clientOf(request)),
      origin: () => originOf(request),
      isOpen: () => peerOf(request) !== '',
    }),
    sourceOf: (request: Request, address = addressOf(request)): BodySource => ({
      request,
      client: origins.countedAs(address),
    }),
    bodies,
    originOf,
    authenticate: (request: Request) =>
      auth.authenticator.authenticate(request.headers.get('authorization'), () => addressOf(request)),
    nextRequestId: requestIds(),
  }
}
