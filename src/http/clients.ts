import type { Identity } from '../access/access.ts'
import { turn } from '../runtime/turn.ts'
import type { Bodies, BodySource } from './body.ts'
import type { Arrival, FrontDoor } from './front-door.ts'
import { once } from './on-demand.ts'
import type { Origins } from './origin.ts'
import { requestIds } from './request-log.ts'

type Authenticate = (header: string | null, addressOf: () => string) => Identity | Promise<Identity>

export interface ClientsOptions {
  auth: { authenticator: { authenticate: Authenticate } }
  origins: Origins
  bodies: Bodies
  frontDoor: Pick<FrontDoor, 'checkAgain' | 'checkLarge'>
}

/** Returns functions that read requests and identify their senders. */
export function clientsOf(
  { auth, origins, bodies, frontDoor }: ClientsOptions,
  peerOf: (request: Request) => string,
) {
  const addressOf = (request: Request): string => origins.clientOf(request, peerOf(request))
  const originOf = (request: Request): string => origins.of(request, peerOf(request))
  const clientOf = (request: Request) => origins.countedAs(addressOf(request))
  const arrivalOf = (request: Request): Arrival => ({
    request,
    client: once(() => clientOf(request)),
    origin: () => originOf(request),
    isOpen: () => peerOf(request) !== '',
  })
  const turns = new LoopTurns()
  /** Many requests can wait for one identity. Each continues in a turn of its own, after the ones before it. */
  const inTurn = async (request: Request, waited: Promise<Identity>): Promise<Identity> => {
    const identity = await waited
    await turn()
    frontDoor.checkAgain(arrivalOf(request))
    return identity
  }
  return {
    addressOf,
    arrivalOf,
    sourceOf: (request: Request, address = addressOf(request)): BodySource => ({
      request,
      client: origins.countedAs(address),
    }),
    bodies,
    originOf,
    authenticate(request: Request): Identity | Promise<Identity> {
      const header = request.headers.get('authorization')
      const identity = auth.authenticator.authenticate(header, () => addressOf(request))
      return identity instanceof Promise ? inTurn(request, identity) : identity
    },
    nextRequestId: requestIds(),
    /** Waits before a large manifest is read for a request, and checks that its client may be sent so many bytes. */
    async beforeLarge(request: Request, bytes: number): Promise<void> {
      await turns.next()
      frontDoor.checkLarge(arrivalOf(request), bytes)
    },
  }
}

/**
 * Lets one waiter continue per turn of the event loop, so that other requests are served between two of them. Reading and
 * sending a manifest of 4 MiB takes up to 30 ms.
 */
export class LoopTurns {
  private last: Promise<void> = Promise.resolve()

  /** Waits until nobody else has continued in this turn of the event loop. */
  next(): Promise<void> {
    const own = this.last
    this.last = own.then(turn)
    return own
  }
}
