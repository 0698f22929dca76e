import { caller } from '../../server/session.ts'
import { Command } from '../tables/values.tsx'

/** Says how to push a first image to this server. */
export function PushHelp() {
  const { host } = location
  const { account, admin = false, openAccess = false } = caller.value ?? {}
  if (account === undefined && !openAccess) return null
  // Others can only push to their own namespace without a grant.
  const image = `${host}/${admin || openAccess || account === undefined ? '' : `${account}/`}alpine:3`
  return (
    <div class="push-help">
      <p>Push an image:</p>
      {!openAccess && <Command text={`docker login ${host}`} />}
      <Command text={`docker tag alpine ${image}`} />
      <Command text={`docker push ${image}`} />
    </div>
  )
}
