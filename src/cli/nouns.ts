import { access } from './nouns/access.ts'
import { audit } from './nouns/audit.ts'
import { blobs } from './nouns/blobs.ts'
import { cache } from './nouns/cache.ts'
import { collector } from './nouns/collector.ts'
import { damage } from './nouns/damage.ts'
import { events } from './nouns/events.ts'
import { files } from './nouns/files.ts'
import { grants } from './nouns/grants.ts'
import { groups } from './nouns/groups.ts'
import { jobs } from './nouns/jobs.ts'
import { manifests } from './nouns/manifests.ts'
import { pins } from './nouns/pins.ts'
import { quotas } from './nouns/quotas.ts'
import { repositories } from './nouns/repositories.ts'
import { retention } from './nouns/retention.ts'
import { robots } from './nouns/robots.ts'
import { search } from './nouns/search.ts'
import { server } from './nouns/server.ts'
import { signingKeys } from './nouns/signing-keys.ts'
import { storage } from './nouns/storage.ts'
import { tags } from './nouns/tags.ts'
import { tokens } from './nouns/tokens.ts'
import { uploads } from './nouns/uploads.ts'
import { upstreams } from './nouns/upstreams.ts'
import { users } from './nouns/users.ts'
import type { Noun } from './verb.ts'

/** The nouns with their verbs. Help and completions are made from this; docs/commands.md lists the same. */
export const NOUNS: Readonly<Record<string, Noun>> = {
  search,
  repo: repositories,
  tag: tags,
  manifest: manifests,
  blob: blobs,
  file: files,
  upload: uploads,
  damage,
  storage,
  cache,
  pin: pins,
  upstream: upstreams,
  retention,
  quota: quotas,
  gc: collector,
  job: jobs,
  server,
  user: users,
  robot: robots,
  token: tokens,
  group: groups,
  grant: grants,
  access,
  key: signingKeys,
  audit,
  event: events,
}
