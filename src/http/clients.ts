import type { Identity } from '../access/access.ts'
import type { Config } from '../config/schema.ts'
import type { ListenAddress } from '../config/values.ts'
import { turn } from '../runtime/clock.ts'
import { once } from '../runtime/idle-memory.ts'
import { type Bodies, type BodySource, openBodies } from './body.ts'
import { AllowedHosts, type Arrival, FrontDoor } from './front-door.ts'
import { Origins } from './origin.ts'
import { requestIds } from './request-log.ts'

const TAGS_PER_PUSH_MAX = 100

/** Returns what all listeners share to check and read requests. */
export function listenerOptions(config: Config, listen: ListenAddress[], isTls: boolean) {
  const { externalUrl, trustedProxies, access, http, manifests, uploads, lists } = config
  const names = [...config.host, ...listen.map(({ host }) => host)]
  if (externalUrl !== undefined) names.push(new URL(externalUrl).host)
  return {
    limits: {
      manifestBytesMax: manifests.bytesMax,
      pageMax: lists.pageMax,
      tagsPerPushMax: TAGS_PER_PUSH_MAX,
    },
    origins: new Origins({ externalUrl, trustedProxies, isTls }),
    frontDoor: new FrontDoor({
      requestsPerClientMax: http.requestsPerAddressMax,
      hosts: access === 'open' ? new AllowedHosts(names) : undefined,
      hstsSeconds: http.hstsSeconds,
    }),
    bodies: openBodies({
      largestBytes: manifests.bytesMax,
      budgetBytes: Math.max(manifests.bodyBytesMax, manifests.bytesMax),
      stallSecondsMax: uploads.stallSecondsMax,
    }),
  }
}

type Authenticate = (header: string | null, addressOf: () => string) => Identity | Promise<Identity>

interface ClientsOptions {
  auth: { authenticator: { authenticate: Authenticate } }
  origins: Origins
  bodies: Bodies
  frontDoor: Pick<FrontDoor, 'checkAgain' | 'checkLarge'>
}

/** Returns functions that read the requests of one listener and identify their senders. */
export function clientsOf(
  { auth, origins, bodies, frontDoor }: ClientsOptions,
  peerOf: (request: Request) => string,
) {
  const addressOf = (request: Request): string => origins.clientOf(request, peerOf(request))
  const originOf = (request: Request): string => origins.of(request, peerOf(request))
  const arrivalOf = (request: Request): Arrival => ({
    request,
    client: once(() => origins.countedAs(addressOf(request))),
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
