import type { Page } from 'playwright-core'
import { startPeer } from '../lib/peers.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { launch } from '../page/browser.ts'
import { absolute, type Bench, type Case } from './lib/case.ts'
import { fillMetadata } from './lib/filled-metadata.ts'
import { inTurns, type Row } from './lib/measurement.ts'
import { fillManyTags, many } from './many-tags.ts'

const millisecondsMax = 100
const waitMillisecondsMax = 20_000
const tags = 100_000

/** Something that a person does: where, what, and when the answer is on the screen. Scripts of the page. */
interface Interaction {
  /** The path to begin at. */
  at: string
  /** What must be shown before. */
  ready: string
  act: string
  shown: string
}

const link = (text: string) =>
  `[...document.querySelectorAll('main a')].some((a) => a.textContent === ${JSON.stringify(text)})`
const click = (selector: string) => `document.querySelector(${JSON.stringify(selector)}).click()`
const type = (selector: string, text: string) => `((field) => {
  field.value = ${JSON.stringify(text)};
  field.dispatchEvent(new InputEvent('input', { bubbles: true }));
})(document.querySelector(${JSON.stringify(selector)}))`
const rows = (count: number) => `document.querySelectorAll('tbody tr').length > ${count}`
const repository = `/repositories/${many}`

const interactions = {
  'open the repositories': {
    at: '/activity',
    ready: `document.querySelector('.timeline, .empty')`,
    act: click('a[href="/repositories"]'),
    shown: rows(10),
  },
  'filter the repositories': {
    at: '/repositories',
    ready: rows(10),
    act: type('.filter input', 'app-942'),
    shown: link('team-42/app-942'),
  },
  'filter by two letters': {
    at: '/repositories',
    ready: rows(10),
    act: type('.filter input', '42'),
    shown: `[...document.querySelectorAll('tbody a')].every((a) => a.textContent.includes('42'))`,
  },
  'search from anywhere': {
    at: '/activity',
    ready: `document.querySelector('.timeline, .empty')`,
    act: `document.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true }));
      requestAnimationFrame(() => ${type('dialog input', 'app-942')})`,
    shown: `document.querySelector('.results a')?.textContent.includes('app-942')`,
  },
  'open a repository': {
    at: `/repositories?q=${many}`,
    ready: link(many),
    act: click(`main a[href="${repository}"]`),
    shown: link('v1.99999'),
  },
  'filter tags': {
    at: repository,
    ready: rows(10),
    act: type('.filter input', 'v1.4242'),
    shown: link('v1.42420'),
  },
  'sort tags by name': {
    at: repository,
    ready: rows(10),
    act: `{ const order = document.querySelector('.toolbar select'); order.value = 'name';
      order.dispatchEvent(new Event('change', { bubbles: true })) }`,
    shown: link('v1.10'),
  },
  'select all tags': {
    at: repository,
    ready: rows(10),
    act: click('thead input'),
    shown: `document.querySelector('.selection')`,
  },
  'scroll to the next page': {
    at: repository,
    ready: rows(10),
    act: 'scrollTo(0, document.body.scrollHeight)',
    shown: `[...document.querySelectorAll('tbody tr')].some((row) => row.ariaRowIndex > 105)`,
  },
  'open the history': {
    at: repository,
    ready: rows(10),
    act: click(`a[href="${repository}/-/history"]`),
    shown: `document.querySelectorAll('.timeline li').length > 10`,
  },
} satisfies Record<string, Interaction>

/** How long people wait for the page of a full registry. */
export const pageCases: Case[] = [
  {
    name: 'page',
    title: ({ repositories }) =>
      `interactions with the page of ${repositories.toLocaleString('en')} repositories, one of ${tags.toLocaleString('en')} tags`,
    unit: 'ms',
    reference: 'open the repositories',
    targets: Object.keys(interactions).map((name) => absolute(name, 'at most', millisecondsMax)),
    run: measure,
  },
]

async function measure({ executables, rounds, scale }: Bench): Promise<Row[]> {
  await using folder = await temporaryFolder('bench-page')
  await fillMetadata(executables, folder.path, scale.repositories)
  fillManyTags(folder.path, tags)
  await using peer = await startPeer(executables, 'cay', { data: folder.path })
  const browser = await launch()
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    const contestants = Object.entries(interactions).map(([name, interaction]) => ({
      name,
      measure: async () => {
        const value = await time(page, `http://127.0.0.1:${peer.port}`, interaction).catch((error) => {
          throw new Error(`cannot ${name}: ${error}`)
        })
        return { value }
      },
    }))
    // What is loaded and compiled once is not what people wait for again and again.
    await inTurns(contestants, 1)
    return await inTurns(contestants, rounds)
  } finally {
    await browser.close()
  }
}

/** Returns the milliseconds from an act to the frame that shows its answer. */
async function time(page: Page, origin: string, { at, ready, act, shown }: Interaction): Promise<number> {
  await page.goto(`${origin}${at}`)
  await page.evaluate(acting('', ready))
  return Number(await page.evaluate(acting(act, shown)))
}

/**
 * Returns a script that does something, and resolves to the milliseconds until the frame after its answer. Playwright's
 * own waiting evaluates text in the page, which the page's policy forbids.
 */
function acting(act: string, shown: string): string {
  return `new Promise((resolve, reject) => {
    const began = performance.now()
    const passed = () => performance.now() - began
    const look = () => {
      if (${shown}) requestAnimationFrame(() => resolve(passed()))
      else if (passed() > ${waitMillisecondsMax}) reject(new Error('not shown'))
      else requestAnimationFrame(look)
    }
    ${act};
    look()
  })`
}
