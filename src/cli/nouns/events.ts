import { field } from '../output/format.ts'
import { withQuery } from '../remote/admin-client.ts'
import type { Noun } from '../verb.ts'

/** Events that are shown unless the command line sets a limit. */
const NEWEST = 100

/** `cay event` */
export const events: Noun = {
  summary: 'List changes of repositories, tags and manifests',
  verbs: {
    list: {
      summary: 'List events, newest first',
      isList: true,
      options: [
        ['--repository <repository>', 'only events of this repository'],
        ['--type <type>', 'only events of this type, such as tag.delete'],
        ['--all', 'list all events, not only the newest'],
      ],
      run: ({ options: { repository, type, all } }) => ({
        list: withQuery('/events', { repository, type }),
        columns: [
          field('time', 'at', 'time'),
          field('type', 'type'),
          field('repository', 'repository'),
          field('tag', 'tag', 'tags'),
          field('digest', 'digest'),
          field('account', 'account'),
        ],
        none: 'There are no events.',
        limit: all === 'true' ? undefined : NEWEST,
      }),
    },
  },
}
