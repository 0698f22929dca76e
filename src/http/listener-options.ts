import type { Config } from '../config/schema.ts'
import type { ListenAddress } from '../config/values.ts'
import { openBodies } from './body.ts'
import { AllowedHosts, FrontDoor } from './front-door.ts'
import { Origins } from './origin.ts'

const TAGS_PER_PUSH_MAX = 100

/** Returns what all listeners share to check and read requests. */
export function listenerOptions(config: Config, listen: ListenAddress[], isTls: boolean) {
  const { externalUrl, trustedProxies, access, http, manifests, uploads, lists } = config
  const origins = new Origins({ externalUrl, trustedProxies, isTls })
  const names = [...config.host, ...listen.map(({ host }) => host)]
  if (externalUrl !== undefined) names.push(new URL(externalUrl).host)
  return {
    limits: {
      manifestBytesMax: manifests.bytesMax,
      pageMax: lists.pageMax,
      tagsPerPushMax: TAGS_PER_PUSH_MAX,
    },
    origins,
    frontDoor: new FrontDoor({
      requestsPerClientMax: http.requestsPerAddressMax,
      hosts: access === 'open' ? new AllowedHosts(names) : undefined,
      hstsSeconds: http.hstsSeconds,
    }),
    bodies: openBodies({
      manifestBytesMax: manifests.bytesMax,
      bodyBytesMax: Math.max(manifests.bodyBytesMax, manifests.bytesMax),
      stallSecondsMax: uploads.stallSecondsMax,
    }),
  }
}
