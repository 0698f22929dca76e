import { expect, test } from 'bun:test'
import { groupsOf, tagResult } from '../../src/page/server/search-results.ts'

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
const none = { items: [], truncated: false }

test('search results: groups without results are left out, and each result links to its page', () => {
  const groups = groupsOf({
    repositories: none,
    tags: {
      items: [{ repository: 'team/app', name: '1.0', digest, kind: 'Container image' }],
      truncated: true,
    },
    manifests: { items: [{ repository: 'team/app', digest, kind: 'Helm chart' }], truncated: false },
    labels: none,
  })
  expect(groups).toEqual([
    {
      name: 'tags',
      title: 'Tags',
      truncated: true,
      results: [
        { path: '/repositories/team/app/-/manifests/1.0', text: 'team/app:1.0', detail: 'Container image' },
      ],
    },
    {
      name: 'manifests',
      title: 'Digests',
      truncated: false,
      results: [
        {
          path: `/repositories/team/app/-/manifests/${digest}`,
          text: 'team/app@sha256:0123456789ab',
          detail: 'Helm chart',
        },
      ],
    },
  ])
})

test('search results: a tag that is shown with its repository is not repeated', () => {
  const tags = {
    items: [{ repository: 'app', name: '1.0', digest, kind: 'Container image' }],
    truncated: false,
  }
  const known = [tagResult('app', '1.0', 'Container image')]
  expect(groupsOf({ repositories: none, tags, manifests: none, labels: none }, known)).toEqual([])
})

test('search results: a label is shown as plain text, with a tag of its manifest or else the digest', () => {
  const found = { repository: 'app', digest, label: 'env=\u202eprod', kind: 'Container image' }
  const labels = {
    items: [
      { ...found, tag: '1.0' },
      { ...found, tag: null },
    ],
    truncated: false,
  }
  const [group] = groupsOf({ repositories: none, tags: none, manifests: none, labels })
  expect(group).toMatchObject({ name: 'labels', title: 'Labels' })
  expect(group?.results).toEqual([
    { path: '/repositories/app/-/manifests/1.0', text: 'app:1.0', detail: 'env=\u2423202eprod' },
    {
      path: `/repositories/app/-/manifests/${digest}`,
      text: 'app@sha256:0123456789ab',
      detail: 'env=\u2423202eprod',
    },
  ])
})
