import { Elysia } from 'elysia'
import { access } from './accounts/access.ts'
import { caller } from './accounts/caller.ts'
import { grants } from './accounts/grants.ts'
import { groups } from './accounts/groups.ts'
import { robots } from './accounts/robots.ts'
import { session } from './accounts/session.ts'
import { signingKeys } from './accounts/signing-keys.ts'
import { tokens } from './accounts/tokens.ts'
import { users } from './accounts/users.ts'
import { blobContent, blobs } from './content/blobs.ts'
import { cache } from './content/cache.ts'
import { collector } from './content/collector.ts'
import { damage } from './content/damage.ts'
import { digests } from './content/digests.ts'
import { files } from './content/files.ts'
import { manifests } from './content/manifests.ts'
import { pins } from './content/pins.ts'
import { pulls } from './content/pulls.ts'
import { purges } from './content/purges.ts'
import { repositories } from './content/repositories.ts'
import { search } from './content/search.ts'
import { storage } from './content/storage.ts'
import { tags } from './content/tags.ts'
import { uploads } from './content/uploads.ts'
import type { AdminContext } from './context.ts'
import { audit } from './server/audit.ts'
import { events } from './server/events.ts'
import { jobs } from './server/jobs.ts'
import { quotas } from './server/quotas.ts'
import { retention } from './server/retention.ts'
import { server } from './server/server.ts'
import { upstreams } from './server/upstreams.ts'

/** The admin API under /api/v1, one Elysia instance for each resource. */
export function adminApi(context: AdminContext) {
  return new Elysia({ name: 'admin', prefix: '/api/v1' })
    .use(session(context))
    .use(caller(context))
    .use(access(context))
    .use(users(context))
    .use(robots(context))
    .use(tokens(context))
    .use(groups(context))
    .use(grants(context))
    .use(signingKeys(context))
    .use(audit(context))
    .use(repositories(context))
    .use(pulls(context))
    .use(tags(context))
    .use(manifests(context))
    .use(files(context))
    .use(events(context))
    .use(blobs(context))
    .use(blobContent(context))
    .use(damage(context))
    .use(digests(context))
    .use(search(context))
    .use(uploads(context))
    .use(storage(context))
    .use(cache(context))
    .use(pins(context))
    .use(upstreams(context))
    .use(collector(context))
    .use(purges(context))
    .use(retention(context))
    .use(quotas(context))
    .use(jobs(context))
    .use(server(context))
}
