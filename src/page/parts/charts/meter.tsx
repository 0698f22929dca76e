/** The shares of a limit that are worth a warning, in percent, as in the server's log. */
const WARNING_PERCENT = 80
const DANGER_PERCENT = 95

interface MeterProps {
  name: string
  used: number
  /** Undefined if there is no limit. */
  max: number | undefined
  format: (value: number) => string
}

/** Returns how serious a share is. */
export function levelOf(percent: number): 'good' | 'warning' | 'bad' {
  if (percent >= DANGER_PERCENT) return 'bad'
  return percent >= WARNING_PERCENT ? 'warning' : 'good'
}

/** Shows how much of a limit is used. */
export function Meter({ name, used, max, format }: MeterProps) {
  const percent = max === undefined ? 0 : max === 0 ? 100 : Math.floor((100 * used) / max)
  return (
    <div class="meter">
      <span class="between">
        <small>{name}</small>
        <span>
          {format(used)}
          {max !== undefined && <small> of {format(max)}</small>}
        </span>
      </span>
      {max !== undefined && (
        <span class="meter-bar" role="img" aria-label={`${percent} % used`}>
          <span class={levelOf(percent)} style={{ width: `${Math.min(percent, 100)}%` }} />
        </span>
      )}
    </div>
  )
}
