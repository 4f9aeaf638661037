// The list of people. Whatever comes from a result becomes text, never HTML.
import { actionText, colour, key, nice, percent } from "./draw.js";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute.startsWith("on")) made.addEventListener(attribute.slice(2), value);
    else made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

export function bars(actions) {
  const list = element("dl", { class: "bars" });
  for (const { label, probability } of actions) {
    const name = nice(label), text = percent(probability);
    list.append(
      element("dt", {}, name),
      element("dd", {}, element("meter", {
        min: 0, max: 1, value: probability, "aria-label": `${name}: ${text}`,
      })),
      element("dd", { class: "value" }, text),
    );
  }
  return list;
}

export function people(result, { chosen, settled, now, choose, explain, explanation }) {
  const cards = result.people.map((person, index) => {
    const title = actionText(person, settled?.[person.track_id]);
    const who = person.track_id === null ? `Person ${index + 1}` : `#${person.track_id}`;
    const posture = person.posture && person.posture !== "unknown" ? ` · ${nice(person.posture)}` : "";
    const card = element("article", { class: "person" },
      element("h3", {}, title, element("span", {}, who + posture)));
    const moment = now?.[person.track_id];
    if (settled) {
      card.append(element("p", { class: "hint" }, moment ? "At this moment:" : "This frame alone:"));
    }
    card.append(bars(moment ?? person.actions));
    card.style.borderLeftColor = colour(key(person, index));
    card.classList.toggle("chosen", chosen === index);
    const tools = element("div", { class: "tools" });
    if (choose) {
      tools.append(element("button", {
        type: "button", "aria-pressed": String(chosen === index), onclick: () => choose(index),
        "aria-label": `Show only ${who} in the picture`,
      }, "Show only this one"));
    }
    if (explain) {
      tools.append(element("button", {
        type: "button", onclick: () => explain(index), "aria-label": `Why ${title} for ${who}?`,
      }, "Which joints count?"));
    }
    if (tools.childElementCount) card.append(tools);
    if (explanation && explanation.person === index) card.append(reasons(explanation));
    return card;
  });
  if (result.image_actions.length) {
    const head = result.image_only ? "No person found; the picture as a whole" : "The picture as a whole";
    cards.push(element("article", { class: "person" },
      element("h3", {}, nice(result.image_action), element("span", {}, head)),
      bars(result.image_actions)));
  }
  return cards;
}

function reasons(explanation) {
  const [one] = explanation.people;
  const ranked = Object.entries(one?.joints ?? {})
    .filter(([, joint]) => joint.score > 0)
    .sort(([, a], [, b]) => Math.abs(b.log_odds) - Math.abs(a.log_odds))
    .slice(0, 5);
  const list = element("ul", {});
  for (const [name, { log_odds: worth }] of ranked) {
    list.append(element("li", {},
      `${nice(name)}: ${worth >= 0 ? "for" : "against"} ${nice(explanation.label)}, `
      + `${Math.abs(worth).toFixed(2)} log-odds`));
  }
  return element("div", {},
    element("p", { class: "hint" },
      `What hiding a joint takes from ${nice(explanation.label)} (${percent(explanation.probability)})`),
    list);
}
