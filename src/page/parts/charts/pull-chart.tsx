import { countOf } from '../../values/format.ts'
import { Card } from '../card.tsx'

/** How many days the chart shows, the last one being today. */
const DAYS = 30

const DAY_MILLISECONDS = 86_400_000

interface DailyPulls {
  day: string
  pullCount: number
}

/** Pulls by day, as far as they have been read. */
export function PullChart({ pulls }: { pulls: readonly DailyPulls[] }) {
  if (pulls.length === 0) return null
  const counts = new Map<string, number>()
  for (const { day, pullCount } of pulls) counts.set(day, (counts.get(day) ?? 0) + pullCount)
  const days = Array.from({ length: DAYS }, (_, back) => dayBefore(DAYS - 1 - back))
  const largest = Math.max(...days.map((day) => counts.get(day) ?? 0), 1)
  const total = days.reduce((sum, day) => sum + (counts.get(day) ?? 0), 0)
  return (
    <Card
      title="Pulls by day"
      aside={
        <small>
          {countOf(total, 'pull')} in {DAYS} days
        </small>
      }
    >
      <div class="chart" role="img" aria-label={`${countOf(total, 'pull')} in the last ${DAYS} days`}>
        {days.map((day) => {
          const count = counts.get(day) ?? 0
          return (
            <span key={day} title={`${day}: ${countOf(count, 'pull')}`}>
              <span style={{ height: `${(100 * count) / largest}%` }} />
            </span>
          )
        })}
      </div>
    </Card>
  )
}

/** Returns a day in UTC, as the API names it. */
function dayBefore(days: number): string {
  return new Date(Date.now() - days * DAY_MILLISECONDS).toISOString().slice(0, 10)
}
