// What a person would see of the page: whether its colours fit the scheme, can be read, and fit the width.
(() => {
  const channels = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = channels(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  // The ratio of the Web Content Accessibility Guidelines, 1.4.3.
  const contrast = (element) => {
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const texts = [...document.body.querySelectorAll("*")].filter(
    (element) => own(element) && element.getClientRects().length && !element.closest("svg, script, style")
  );
  const seen = {
    background: light(behind(document.body)),
    faint: texts.filter((element) => contrast(element) < 4.5).map((element) => element.textContent.trim().slice(0, 60)),
    texts: texts.length,
    overflow: document.documentElement.scrollWidth - innerWidth,
    height: document.body.getBoundingClientRect().height,
  };
  document.body.textContent = JSON.stringify(seen);
})();
