import { chromium, type Page } from 'playwright-core'
import { type Bench, type Case, type Figures, type Measure, most } from './case.ts'
import { filledFolder, fillManyTags, many } from './full-registry.ts'

const millisecondsMax = 100
const waitMillisecondsMax = 20_000
const tags = 100_000
/** As root it has no sandbox. */
const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
]

const link = (text: string) =>
  `[...document.querySelectorAll('main a')].some((a) => a.textContent === ${JSON.stringify(text)})`
const click = (selector: string) => `document.querySelector(${JSON.stringify(selector)}).click()`
const type = (selector: string, text: string) => `((field) => {
  field.value = ${JSON.stringify(text)};
  field.dispatchEvent(new InputEvent('input', { bubbles: true }));
})(document.querySelector(${JSON.stringify(selector)}))`
const rows = (count: number) => `document.querySelectorAll('tbody tr').length > ${count}`
const activity = `document.querySelector('.timeline, .empty')`
const repository = `/repositories/${many}`

/** What a person does: the path to begin at, the act, when the answer is on the screen, and what must be there before. */
type Interaction = [at: string, act: string, shown: string, ready?: string]

const search = `document.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true }));
  requestAnimationFrame(() => ${type('dialog input', 'app-942')})`
const sort = `{ const order = document.querySelector('.toolbar select'); order.value = 'name';
  order.dispatchEvent(new Event('change', { bubbles: true })) }`
const filtered = `[...document.querySelectorAll('tbody a')].every((a) => a.textContent.includes('42'))`
const found = `document.querySelector('.results a')?.textContent.includes('app-942')`
const scrolled = `[...document.querySelectorAll('tbody tr')].some((row) => row.ariaRowIndex > 105)`
const selection = `document.querySelector('.selection')`
const history = `document.querySelectorAll('.timeline li').length > 10`

const interactions: Record<string, Interaction> = {
  'open the repositories': ['/activity', click('a[href="/repositories"]'), rows(10), activity],
  'filter the repositories': ['/repositories', type('.filter input', 'app-942'), link('team-42/app-942')],
  'filter by two letters': ['/repositories', type('.filter input', '42'), filtered],
  'search from anywhere': ['/activity', search, found, activity],
  'open a repository': [
    `/repositories?q=${many}`,
    click(`main a[href="${repository}"]`),
    link('v1.99999'),
    link(many),
  ],
  'filter tags': [repository, type('.filter input', 'v1.4242'), link('v1.42420')],
  'sort tags by name': [repository, sort, link('v1.10')],
  'select all tags': [repository, click('thead input'), selection],
  'scroll to the next page': [repository, 'scrollTo(0, document.body.scrollHeight)', scrolled],
  'open the history': [repository, click(`a[href="${repository}/-/history"]`), history],
}

/** How long people wait for the page of a full registry. */
export const pageCases: Case[] = [
  {
    name: 'page',
    title: ({ repositories }) =>
      `interactions with the page of ${repositories} repositories, one of ${tags} tags`,
    goals: Object.keys(interactions).map((name) => most(`${name}, ms`, millisecondsMax)),
    prepare: async (bench) => (name) => preparePage(bench, name),
  },
]

async function preparePage(bench: Bench, name: string): Promise<Measure> {
  const data = await filledFolder(bench, name)
  fillManyTags(data, tags)
  const { origin } = await bench.start(name, { data })
  return async () => {
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: flags,
    })
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
      const figures: Figures = {}
      // What is loaded and compiled once is not what people wait for again and again.
      for (const _ of ['first', 'second'])
        for (const [name, interaction] of Object.entries(interactions))
          figures[`${name}, ms`] = await time(page, origin, interaction)
      return figures
    } finally {
      await browser.close()
    }
  }
}

/** Returns the milliseconds from an act to the frame that shows its answer. */
async function time(
  page: Page,
  origin: string,
  [at, act, shown, ready = rows(10)]: Interaction,
): Promise<number> {
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
