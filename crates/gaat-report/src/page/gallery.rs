//! Test images with what an attack does to them.

use gaat_spec::gallery::Example;
use gaat_spec::{Gallery, judged_in, visible};
use maud::{Markup, html};

/// The images with their views, and how they were made.
pub(super) fn gallery(gallery: &Gallery) -> Markup {
    let attack = format!(
        "{} ({}), {}, {}",
        gallery.attack,
        gallery.attack.numbers(),
        gallery.threat,
        judged_in(gallery.precision)
    );
    html! {
        p.soft {
            "The first test image of each class, attacked by " (attack) ". In the picture of the difference, middle grey is no change, and \
            changes are shown " (format!("{:.0}", gallery.amplification)) " times as large. Images that the network misclassifies \
            without an attack are not attacked."
        }
        div.examples { @for example in &gallery.examples { (shown(example)) } }
    }
}

fn shown(example: &Example) -> Markup {
    let Example { label, clean_prediction, prediction, pictures } = example;
    let [label, clean_prediction, prediction] =
        [label, clean_prediction, prediction].map(|name| visible(name));
    html! {
        div {
            b { (label) } ": "
            @if clean_prediction != label {
                span.soft { "classified as " (clean_prediction) " without an attack" }
            } @else if prediction != label {
                span.bad { "classified as " (prediction) }
            } @else {
                span.good { "still correct" }
            }
            div.views {
                @for picture in pictures {
                    figure {
                        img src={ "data:image/png;base64," (picture.png) } alt={ (label) ", " (picture.name) };
                        figcaption { (picture.name) }
                    }
                }
            }
        }
    }
}
